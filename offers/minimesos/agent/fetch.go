package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

const (
	// fetchTimeout bounds the fetching of all URIs of one task.
	fetchTimeout = 10 * time.Minute
	// maxFetchBytes bounds one fetched file.
	maxFetchBytes = 8 << 30
	// fetchHeaderTimeout bounds the wait for the answer to a request.
	fetchHeaderTimeout = 60 * time.Second
)

var errTooLarge = errors.New("larger than allowed")

// fetch brings the URIs of a command into the sandbox, one after the other:
// copied, made executable or unpacked. The field cache is accepted and
// changes nothing, for there is no cache.
func (t *task) fetch(uris []mesos.CommandInfo_URI) error {
	ctx, cancel := context.WithTimeout(t.launchCtx, fetchTimeout)
	defer cancel()
	select {
	case t.agent.fetches <- struct{}{}:
		defer func() { <-t.agent.fetches }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, u := range uris {
		if err := fetchURI(ctx, t.sandbox, u); err != nil {
			return fmt.Errorf("fetching '%s': %w", u.Value, err)
		}
	}
	return t.user.chownTree(t.sandbox)
}

// fetchURI brings one URI into the sandbox.
func fetchURI(ctx context.Context, sandbox string, u mesos.CommandInfo_URI) error {
	name, err := outputName(u)
	if err != nil {
		return err
	}
	target := filepath.Join(sandbox, name)
	if err := os.MkdirAll(filepath.Dir(target), dirMode); err != nil {
		return err
	}
	if err := download(ctx, u.Value, target); err != nil {
		return err
	}
	if u.Executable != nil && *u.Executable {
		st, err := os.Stat(target)
		if err != nil {
			return err
		}
		return os.Chmod(target, st.Mode()|0o111)
	}
	if u.Extract != nil && !*u.Extract {
		return nil
	}
	return extract(ctx, target, sandbox)
}

// outputName is the file in the sandbox for a URI: output_file, or the last
// part of its path.
func outputName(u mesos.CommandInfo_URI) (string, error) {
	if out := u.GetOutputFile(); out != "" {
		if !filepath.IsLocal(out) || filepath.Clean(out) == "." {
			return "", fmt.Errorf("output file %q leaves the sandbox", out)
		}
		return out, nil
	}
	p := u.Value
	if strings.Contains(p, "://") {
		parsed, err := url.Parse(p)
		if err != nil {
			return "", fmt.Errorf("malformed URI: %w", err)
		}
		p = parsed.Path
	}
	name := path.Base(p)
	if err := checkPathPart("URI without file name:", name); err != nil {
		return "", err
	}
	return name, nil
}

// download copies the source to the target file.
func download(ctx context.Context, source, target string) error {
	scheme, rest, ok := strings.Cut(source, "://")
	switch {
	case !ok && filepath.IsAbs(source):
		return copyLocal(ctx, source, target)
	case !ok:
		return errors.New("relative paths are not supported")
	case scheme == "file":
		rest = strings.TrimPrefix(rest, "localhost")
		if !filepath.IsAbs(rest) {
			return errors.New("a file URI needs an absolute path")
		}
		return copyLocal(ctx, rest, target)
	case scheme == "http" || scheme == "https":
		return copyHTTP(ctx, source, target)
	}
	return fmt.Errorf("URIs of type %q are not supported", scheme)
}

func copyLocal(ctx context.Context, source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", source)
	}
	return writeFile(ctx, target, in, st.Mode().Perm(), maxFetchBytes)
}

func copyHTTP(ctx context.Context, source, target string) error {
	client := http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DisableKeepAlives:     true,
		DisableCompression:    true, // an archive must arrive as it is
		ResponseHeaderTimeout: fetchHeaderTimeout,
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("unexpected HTTP response %q", resp.Status)
	}
	return writeFile(ctx, target, resp.Body, 0o644, maxFetchBytes)
}

// writeFile writes at most limit bytes to a new file. A file that is there is
// replaced, not followed if it is a link.
func writeFile(ctx context.Context, target string, in io.Reader, mode os.FileMode, limit int64) error {
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode|0o200)
	if err != nil {
		return err
	}
	err = copyLimited(ctx, out, in, limit)
	return errors.Join(err, out.Close())
}

// copyLimited copies until the end, an error, the limit or the end of the
// context.
func copyLimited(ctx context.Context, out io.Writer, in io.Reader, limit int64) error {
	n, err := io.Copy(out, io.LimitReader(contextReader{ctx, in}, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("%d bytes: %w", n, errTooLarge)
	}
	return err
}

// contextReader ends reading with the context.
type contextReader struct {
	ctx context.Context
	in  io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}
