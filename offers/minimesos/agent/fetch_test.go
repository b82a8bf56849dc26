package agent

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// hangingServer answers no request until the test ends.
func hangingServer(t *testing.T) string {
	t.Helper()
	end := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-end:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(end); srv.Close() })
	return srv.URL + "/file"
}

// All archive forms, local and over HTTP, with their flags.
func TestFetch(t *testing.T) {
	src := t.TempDir()
	if err := os.MkdirAll(filepath.Join(src, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"d/hello.txt": "hello\n", "tool": "#!/bin/sh\necho ran\n", "single.txt": "single\n"} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, src, "ln", "-s", "hello.txt", "d/link")
	run(t, src, "tar", "cf", "a.tar", "d")
	for _, form := range [][2]string{{"z", "a.tar.gz"}, {"z", "b.tgz"}, {"j", "a.tar.bz2"}, {"j", "b.tbz2"}, {"J", "a.tar.xz"}, {"J", "b.txz"}} {
		run(t, src, "tar", "c"+form[0]+"f", form[1], "d")
	}
	run(t, src, "gzip", "-k", "single.txt")
	writeZip(t, filepath.Join(src, "a.zip"), "d/hello.txt", "hello\n")
	srv := httptest.NewServer(http.FileServer(http.Dir(src)))
	defer srv.Close()

	cases := map[string]struct {
		uri  mesos.CommandInfo_URI
		file string
		text string
	}{
		"plain path":    {mesos.CommandInfo_URI{Value: src + "/single.txt"}, "single.txt", "single\n"},
		"file uri":      {mesos.CommandInfo_URI{Value: "file://" + src + "/single.txt", Cache: ptr(true)}, "single.txt", "single\n"},
		"http":          {mesos.CommandInfo_URI{Value: srv.URL + "/single.txt?x=y/z"}, "single.txt", "single\n"},
		"output file":   {mesos.CommandInfo_URI{Value: srv.URL + "/single.txt", OutputFile: ptr("x/y.txt")}, "x/y.txt", "single\n"},
		"not extracted": {mesos.CommandInfo_URI{Value: src + "/single.txt.gz", Extract: ptr(false), OutputFile: ptr("z.gz")}, "d/hello.txt", ""},
		"gz":            {mesos.CommandInfo_URI{Value: srv.URL + "/single.txt.gz"}, "single.txt", "single\n"},
		"zip":           {mesos.CommandInfo_URI{Value: src + "/a.zip"}, "d/hello.txt", "hello\n"},
	}
	for _, name := range []string{"a.tar", "a.tar.gz", "b.tgz", "a.tar.bz2", "b.tbz2", "a.tar.xz", "b.txz"} {
		cases[name] = struct {
			uri  mesos.CommandInfo_URI
			file string
			text string
		}{mesos.CommandInfo_URI{Value: srv.URL + "/" + name, Extract: ptr(true)}, "d/link", "hello\n"}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			box := t.TempDir()
			if err := fetchURI(context.Background(), box, c.uri); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(box, c.file))
			if c.text == "" {
				if !os.IsNotExist(err) {
					t.Errorf("%s: %v", c.file, err)
				}
				return
			}
			if err != nil || string(got) != c.text {
				t.Errorf("%s holds %q, %v", c.file, got, err)
			}
		})
	}
	t.Run("task", func(t *testing.T) {
		b := newBench(t, Config{})
		task := shellTask("f", "./tool && cat d/hello.txt")
		task.Command.URIs = []mesos.CommandInfo_URI{{Value: srv.URL + "/tool", Executable: ptr(true)}, {Value: srv.URL + "/a.tar.gz"}}
		b.agent.Launch(framework(), task)
		b.awaitEnd("f", starting, running, finished)
		if out := awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", "f"), "stdout")); out != "ran\nhello\n" {
			t.Errorf("stdout %q", out)
		}
	})
}

func writeZip(t *testing.T, path, name, text string) {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	f, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What cannot be fetched ends the task before TASK_STARTING, and its stderr
// says why (12, badfetch).
func TestFetchFailures(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	b := newBench(t, Config{})
	cases := map[string]struct{ uri, says string }{
		"404":      {srv.URL + "/nope", "404"},
		"noserver": {"http://127.0.0.1:1/nope", "refused"},
		"nofile":   {"/no/such/file", "no such file"},
		"dir":      {"/tmp", "no regular file"},
		"relative": {"some/file", "relative paths are not supported"},
		"scheme":   {"s3://bucket/x", `type "s3"`},
		"noname":   {srv.URL + "/", "cannot be the name"},
	}
	for id, c := range cases {
		task := shellTask(id, "true")
		task.Command.URIs = []mesos.CommandInfo_URI{{Value: c.uri}}
		b.agent.Launch(framework(), task)
	}
	for id, c := range cases {
		b.await("end", func() bool { return len(b.ofLocked(id)) > 0 })
		box := b.agent.Sandbox("fw-1", id)
		b.awaitEnd(id, "FAILED agent CONTAINER_LAUNCH_FAILED 'Failed to launch container: Failed to fetch all URIs for container '"+
			filepath.Base(box)+"': exited with status 1'")
		if text, _ := os.ReadFile(filepath.Join(box, "stderr")); !strings.Contains(string(text), c.says) {
			t.Errorf("%s: stderr says %q", id, text)
		}
	}
}

// Archives must not write outside the sandbox, by name or through links.
func TestArchiveEscapes(t *testing.T) {
	reg := func(name string) *tar.Header { return &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }
	link := func(name, to string, kind byte) *tar.Header {
		return &tar.Header{Name: name, Linkname: to, Typeflag: kind}
	}
	outside := t.TempDir()
	cases := map[string][]*tar.Header{
		"dots":          {reg("../evil")},
		"deep dots":     {reg("a/../../evil")},
		"absolute":      {reg(filepath.Join(outside, "evil"))},
		"symlink dir":   {link("out", outside, tar.TypeSymlink), reg("out/evil")},
		"relative link": {link("out", "../..", tar.TypeSymlink), reg("out/evil")},
		"directory":     {&tar.Header{Name: "../evil", Typeflag: tar.TypeDir, Mode: 0o755}},
		"hard link":     {link("h", "../../../../../../etc/passwd", tar.TypeLink)},
		"device":        {&tar.Header{Name: "dev", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}},
	}
	for name, headers := range cases {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			box := filepath.Join(top, "one", "box")
			if err := os.MkdirAll(box, 0o755); err != nil {
				t.Fatal(err)
			}
			var buf bytes.Buffer
			w := tar.NewWriter(&buf)
			for _, h := range headers {
				if err := w.WriteHeader(h); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "x.tar")
			if err := os.WriteFile(file, buf.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := extract(context.Background(), file, box); err == nil {
				t.Error("accepted")
			}
			for _, dir := range []string{outside, top, filepath.Join(top, "one")} {
				if _, err := os.Lstat(filepath.Join(dir, "evil")); err == nil {
					t.Errorf("written to %s", dir)
				}
			}
		})
	}
	t.Run("zip", func(t *testing.T) {
		box := t.TempDir()
		file := filepath.Join(t.TempDir(), "x.zip")
		writeZip(t, file, "../evil", "x")
		if err := extract(context.Background(), file, box); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("output file", func(t *testing.T) {
		for _, out := range []string{"../x", "/x", "a/../../x", "."} {
			if name, err := outputName(mesos.CommandInfo_URI{Value: "/f", OutputFile: &out}); err == nil {
				t.Errorf("%q gives %q", out, name)
			}
		}
	})
}

// The limits of size and entries hold.
func TestArchiveLimits(t *testing.T) {
	box := t.TempDir()
	root, err := os.OpenRoot(box)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	x := &extraction{ctx: context.Background(), root: root, left: 10}
	if err := x.file("fits", strings.NewReader("0123456789"), 0o644); err != nil {
		t.Error(err)
	}
	if err := x.file("not", strings.NewReader("x"), 0o644); err == nil {
		t.Error("more bytes than allowed")
	}
	x.entries = maxExtractEntries
	if err := x.count(); err == nil {
		t.Error("more entries than allowed")
	}
}

// 13-kill (early): a KILL before the task was started.
func TestKilledBeforeDelivery(t *testing.T) {
	b := newBench(t, Config{})
	task := shellTask("early", "true")
	task.Command.URIs = []mesos.CommandInfo_URI{{Value: hangingServer(t)}}
	b.agent.Launch(killingFramework(), task)
	b.agent.Kill("fw-1", "early", nil)
	b.awaitEnd("early", "KILLED agent TASK_KILLED_DURING_LAUNCH 'Killed before delivery to the executor'")
}
