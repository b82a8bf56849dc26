package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// written is a file with this text.
func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func hashed(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func TestCredentials(t *testing.T) { // S1
	file := written(t, "# users\n\nalice:"+hashed(t, "wonder:land")+"\nbob:"+hashed(t, "builder")+"\n")
	for _, c := range []struct {
		single, file, user, password string
		in                           bool
	}{
		{"u:p", "", "u", "p", true},
		{"u:p", "", "u", "q", false},
		{"a:b:c", "", "a", "b:c", true}, // http-api 1.1: one text, wherever it is split
		{"u:p", "", "", "", false},
		{"", file, "alice", "wonder:land", true},
		{"", file, "alice", "builder", false},
		{"", file, "bob", "builder", true},
		{"", file, "nobody", "builder", false},
		{"u:p", file, "u", "p", true},
		{"u:p", file, "bob", "builder", true},
	} {
		users, err := ReadUsers(c.single, c.file)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from memory
			if got := users.Check(c.user, c.password); got != c.in {
				t.Errorf("%q with a file %v: %s:%s enters: %v", c.single, c.file != "", c.user, c.password, got)
			}
		}
	}
}

// What is malformed refuses to start; Marathon would be open to all (http-api 18).
func TestMalformedCredentials(t *testing.T) { // S1
	for name, c := range map[string][2]string{"no colon": {"user", ""}, "no user": {":p", ""}, "no password": {"u:", ""},
		"no file": {"", "/no/such/file"}, "empty file": {"", written(t, "# none\n")}, "plain password": {"", written(t, "u:secret\n")},
		"md5": {"", written(t, "u:$apr1$abc$def\n")}, "twice": {"", written(t, "u:"+hashed(t, "a")+"\nu:"+hashed(t, "b"))}} {
		_, err := ReadUsers(c[0], c[1])
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}
