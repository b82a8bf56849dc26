package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// maxKnown bounds the remembered proofs of passwords.
const maxKnown = 1024

// credentials are the users that may enter: one of --http_credentials, and those of a file with bcrypt hashes (S1).
type credentials struct {
	single [sha256.Size]byte
	named  bool // single is set
	hashes map[string][]byte
	nobody []byte // a hash for unknown users, so that they take as long as known ones

	key   []byte
	slots chan struct{} // bcrypt is costly on purpose: only so many at once

	mu    sync.Mutex
	known map[[sha256.Size]byte]bool // passwords that were right, as keyed digests
}

// newCredentials reads both sources; nil when neither is given. Every mistake asks for exit code 112: a server that is
// open by mistake is worse than none (http-api.md 18).
func newCredentials(single, file string) (*credentials, error) {
	if single == "" && file == "" {
		return nil, nil
	}
	c := &credentials{hashes: map[string][]byte{}, key: make([]byte, sha256.Size), known: map[[sha256.Size]byte]bool{},
		slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
	if _, err := rand.Read(c.key); err != nil {
		return nil, fmt.Errorf("key of the credentials: %w", err)
	}
	if single != "" {
		if !strings.Contains(single, ":") || strings.HasPrefix(single, ":") || strings.HasSuffix(single, ":") {
			return nil, exitWith(exitFlag, "invalid value of --http_credentials: expected user:password")
		}
		c.single, c.named = sha256.Sum256([]byte(single)), true
	}
	if file == "" {
		return c, nil
	}
	err := eachLine(file, func(line string) error {
		user, hash, ok := strings.Cut(line, ":")
		if !ok || user == "" {
			return fmt.Errorf("expected user:hash")
		}
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return fmt.Errorf("user %s: not a bcrypt hash (make one with htpasswd -nB %s): %w", user, user, err)
		}
		if _, twice := c.hashes[user]; twice {
			return fmt.Errorf("user %s is there twice", user)
		}
		c.hashes[user], c.nobody = []byte(hash), []byte(hash)
		return nil
	})
	if err != nil {
		return nil, exitWith(exitFlag, "--http_credentials_file: %w", err)
	}
	if len(c.hashes) == 0 {
		return nil, exitWith(exitFlag, "--http_credentials_file: %s names no user", file)
	}
	return c, nil
}

// check tells whether a user has this password.
func (c *credentials) check(user, password string) bool {
	if got := sha256.Sum256([]byte(user + ":" + password)); c.named && subtle.ConstantTimeCompare(got[:], c.single[:]) == 1 {
		return true
	}
	if len(c.hashes) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, c.key)
	fmt.Fprintf(mac, "%d:%s%s", len(user), user, password)
	proof := [sha256.Size]byte(mac.Sum(nil))
	c.mu.Lock()
	right := c.known[proof]
	c.mu.Unlock()
	if right {
		return true
	}
	hash, there := c.hashes[user]
	if !there {
		hash = c.nobody
	}
	c.slots <- struct{}{}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	<-c.slots
	if err != nil || !there {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxKnown {
		clear(c.known)
	}
	c.known[proof] = true
	return true
}

// permission allows a user some methods below a path.
type permission struct {
	user    string // "*": everybody
	methods map[string]bool
	path    string
}

// permissions are the lines of --http_permissions_file (S5); nil allows everything to whoever may enter.
type permissions []permission

// newPermissions reads lines of the form "user METHOD[,METHOD…] /path", each with * for any.
func newPermissions(file string) (permissions, error) {
	if file == "" {
		return nil, nil
	}
	out := permissions{}
	err := eachLine(file, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 3 || !strings.HasPrefix(f[2], "/") {
			return fmt.Errorf("expected: user METHOD[,METHOD] /path")
		}
		p := permission{user: f[0], methods: map[string]bool{}, path: tidyPath(f[2])}
		for m := range strings.SplitSeq(f[1], ",") {
			if m != "*" && m != strings.ToUpper(m) {
				return fmt.Errorf("%q is no method", m)
			}
			p.methods[m] = true
		}
		out = append(out, p)
		return nil
	})
	if err != nil {
		return nil, exitWith(exitFlag, "--http_permissions_file: %w", err)
	}
	return out, nil
}

// allow tells whether a user may do this. HEAD and OPTIONS go with GET. Paths that walk upwards are nobody's.
func (ps permissions) allow(user, method, path string) bool {
	if ps == nil {
		return true
	}
	path = tidyPath(path)
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." {
			return false
		}
	}
	if method == "HEAD" || method == "OPTIONS" {
		method = "GET"
	}
	for _, p := range ps {
		if (p.user == "*" || p.user == user) && (p.methods["*"] || p.methods[method]) &&
			(p.path == "" || path == p.path || strings.HasPrefix(path, p.path+"/")) {
			return true
		}
	}
	return false
}

// tidyPath writes a path with single slashes and none at the end, as the API reads it.
func tidyPath(path string) string {
	var b strings.Builder
	for s := range strings.SplitSeq(path, "/") {
		if s != "" {
			b.WriteString("/" + s)
		}
	}
	return b.String()
}

// eachLine calls f for the lines of a file that are neither empty nor comments.
func eachLine(file string, f func(string) error) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("%s, line %d: %w", file, n, err)
		}
	}
	return lines.Err()
}
