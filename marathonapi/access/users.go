package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// maxKnown bounds the remembered proofs of passwords.
const maxKnown = 1024

// Users are those that may enter: one of --http_credentials, and those of a file with bcrypt hashes (S1).
type Users struct {
	single [sha256.Size]byte
	named  bool // single is set
	hashes map[string][]byte
	nobody []byte // a hash for unknown users, so that they take as long as known ones

	key   []byte
	slots chan struct{} // bcrypt is costly on purpose: only so many at once

	mu    sync.Mutex
	known map[[sha256.Size]byte]bool // passwords that were right, as keyed digests
}

// ReadUsers reads both sources: user:password of --http_credentials and the file of lines user:hash with bcrypt hashes;
// nil when neither is given. Every mistake is an error: a server that is open by mistake is worse than none
// (http-api.md 18). Errors name the flag and hold no password.
func ReadUsers(single, file string) (*Users, error) {
	if single == "" && file == "" {
		return nil, nil
	}
	c := &Users{hashes: map[string][]byte{}, key: make([]byte, sha256.Size), known: map[[sha256.Size]byte]bool{},
		slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
	if _, err := rand.Read(c.key); err != nil {
		return nil, fmt.Errorf("key of the credentials: %w", err)
	}
	if single != "" {
		if !strings.Contains(single, ":") || strings.HasPrefix(single, ":") || strings.HasSuffix(single, ":") {
			return nil, fmt.Errorf("invalid value of --http_credentials: expected user:password")
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
		return nil, fmt.Errorf("--http_credentials_file: %w", err)
	}
	if len(c.hashes) == 0 {
		return nil, fmt.Errorf("--http_credentials_file: %s names no user", file)
	}
	return c, nil
}

// Check tells whether a user has this password. It takes as long for an unknown user as for a wrong password.
func (c *Users) Check(user, password string) bool {
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
