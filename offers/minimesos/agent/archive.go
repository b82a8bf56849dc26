package agent

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	// maxExtractBytes bounds what one archive may unpack to.
	maxExtractBytes = 16 << 30
	// maxExtractEntries bounds the files of one archive.
	maxExtractEntries = 500_000
	// maxLinkTarget bounds the target of a symbolic link in a zip file.
	maxLinkTarget = 4096
)

// archiveKinds is what the fetcher unpacks, by the end of the file name; the
// first that fits counts.
var archiveKinds = []struct {
	suffix string
	unpack func(x *extraction, in *os.File) error
}{
	{".tar.gz", (*extraction).tarGzip},
	{".tgz", (*extraction).tarGzip},
	{".tar.bz2", (*extraction).tarBzip2},
	{".tbz2", (*extraction).tarBzip2},
	{".tar.xz", (*extraction).tarXz},
	{".txz", (*extraction).tarXz},
	{".tar", (*extraction).plainTar},
	{".zip", (*extraction).zip},
	{".gz", (*extraction).gzip},
}

// extraction unpacks one archive. Everything goes through root, which refuses
// names and links that lead out of the sandbox.
type extraction struct {
	ctx     context.Context
	root    *os.Root
	name    string // of the archive
	left    int64  // bytes that may still be written
	entries int
}

// extract unpacks the file into dir if its name says that it is an archive;
// the file itself stays.
func extract(ctx context.Context, file, dir string) error {
	for _, k := range archiveKinds {
		if !strings.HasSuffix(file, k.suffix) {
			continue
		}
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer func() { _ = root.Close() }()
		x := &extraction{ctx: ctx, root: root, name: filepath.Base(file), left: maxExtractBytes}
		if err := k.unpack(x, in); err != nil {
			return fmt.Errorf("unpacking %s: %w", x.name, err)
		}
		return nil
	}
	return nil
}

func (x *extraction) tarGzip(in *os.File) error {
	z, err := gzip.NewReader(bufio.NewReader(in))
	if err != nil {
		return err
	}
	return x.tar(z)
}

func (x *extraction) tarBzip2(in *os.File) error { return x.tar(bzip2.NewReader(bufio.NewReader(in))) }

func (x *extraction) plainTar(in *os.File) error { return x.tar(bufio.NewReader(in)) }

// tarXz needs the tool xz: the standard library has no such reader.
func (x *extraction) tarXz(in *os.File) error {
	ctx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "xz", "-dc")
	cmd.Stdin = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = x.tar(bufio.NewReader(out))
	if err != nil {
		cancel()
		_ = cmd.Wait()
		return err
	}
	// Padding after the end of the archive must not block the tool.
	_, err = io.Copy(io.Discard, out)
	return errors.Join(err, cmd.Wait())
}

// gzip unpacks a single compressed file next to it, without the suffix.
func (x *extraction) gzip(in *os.File) error {
	z, err := gzip.NewReader(bufio.NewReader(in))
	if err != nil {
		return err
	}
	return x.file(strings.TrimSuffix(x.name, ".gz"), z, 0o644)
}

func (x *extraction) tar(in io.Reader) error {
	r := tar.NewReader(contextReader{x.ctx, in})
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.tarEntry(h, r); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
}

func (x *extraction) tarEntry(h *tar.Header, content io.Reader) error {
	if err := x.count(); err != nil {
		return err
	}
	mode := os.FileMode(h.Mode).Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		return x.directory(h.Name)
	case tar.TypeReg:
		return x.file(h.Name, content, mode)
	case tar.TypeSymlink:
		return x.symlink(h.Name, h.Linkname)
	case tar.TypeLink:
		if err := x.clear(h.Name); err != nil {
			return err
		}
		return x.root.Link(filepath.Clean(h.Linkname), filepath.Clean(h.Name))
	case tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("entries of type %q are not allowed", string(h.Typeflag))
}

func (x *extraction) zip(in *os.File) error {
	st, err := in.Stat()
	if err != nil {
		return err
	}
	r, err := zip.NewReader(in, st.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	for _, f := range r.File {
		if err := x.zipEntry(f); err != nil {
			return fmt.Errorf("%q: %w", f.Name, err)
		}
	}
	return nil
}

func (x *extraction) zipEntry(f *zip.File) error {
	if err := errors.Join(x.count(), x.ctx.Err()); err != nil {
		return err
	}
	mode := f.Mode()
	if mode.IsDir() || strings.HasSuffix(f.Name, "/") {
		return x.directory(f.Name)
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	switch {
	case mode&os.ModeSymlink != 0:
		target, err := io.ReadAll(io.LimitReader(in, maxLinkTarget))
		if err != nil {
			return err
		}
		return x.symlink(f.Name, string(target))
	case mode.IsRegular():
		perm := mode.Perm()
		if perm == 0 { // made on a system without modes
			perm = 0o644
		}
		return x.file(f.Name, in, perm)
	}
	return fmt.Errorf("entries of mode %s are not allowed", mode)
}

func (x *extraction) count() error {
	x.entries++
	if x.entries > maxExtractEntries {
		return fmt.Errorf("more than %d entries: %w", maxExtractEntries, errTooLarge)
	}
	return nil
}

func (x *extraction) directory(name string) error {
	return x.root.MkdirAll(filepath.Clean(name), dirMode)
}

// clear makes room for an entry: its directory exists, itself does not.
func (x *extraction) clear(name string) error {
	name = filepath.Clean(name)
	if dir := filepath.Dir(name); dir != "." {
		if err := x.root.MkdirAll(dir, dirMode); err != nil {
			return err
		}
	}
	if err := x.root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (x *extraction) file(name string, in io.Reader, mode os.FileMode) error {
	if err := x.clear(name); err != nil {
		return err
	}
	name = filepath.Clean(name)
	out, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	counted := &countingWriter{out: out}
	err = copyLimited(x.ctx, counted, in, x.left)
	x.left -= counted.n
	// Chmod, for the mask of the agent must not change what the archive says.
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// symlink makes a link as the archive has it. It may point anywhere, as one
// that the task makes itself; nothing is ever written through it.
func (x *extraction) symlink(name, target string) error {
	if err := x.clear(name); err != nil {
		return err
	}
	return x.root.Symlink(target, filepath.Clean(name))
}

type countingWriter struct {
	out io.Writer
	n   int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	w.n += int64(n)
	return n, err
}
