//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// searchSecrets looks for every token and password of the part in its data folders and
// logs. Every part ends with it.
func (t *trial) searchSecrets() {
	if len(t.secrets) == 0 {
		return
	}
	err := filepath.WalkDir(t.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // a folder that is no longer mounted
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range t.secretsIn(text) {
			t.fault("the secret %.8s… is in %s", secret, path)
		}
		return nil
	})
	t.must(err, "look for secrets")
}

// secretsIn returns the secrets contained in a text. Tokens are found by their prefix,
// which is much faster than searching for each one.
func (t *trial) secretsIn(text []byte) (found []string) {
	var others []string
	for _, secret := range t.secrets {
		if !strings.HasPrefix(secret, "pat_") {
			others = append(others, secret)
		}
	}
	for rest := text; ; {
		at := bytes.Index(rest, []byte("pat_"))
		if at < 0 {
			break
		}
		rest = rest[at:]
		if word := string(rest[:min(len(rest), 40)]); slices.Contains(t.secrets, word) {
			found = append(found, word)
		}
		rest = rest[4:]
	}
	for _, secret := range others {
		if bytes.Contains(text, []byte(secret)) {
			found = append(found, secret)
		}
	}
	return found
}

// runSecrets uses tokens and passwords in every possible way, valid and invalid, and
// looks for them in responses, in process arguments and, like every part, on disk and
// in logs.
func runSecrets(t *trial) {
	data := t.path("data")
	token := t.project(data, "p")
	password := t.secret("pass-word-canary-1")
	if out, err := t.tryCommand(password+"\n", "user", "create", "--project", "p", "ada", "--data", data); err != nil {
		t.fault("create a user: %v %s", err, out)
	}
	s := t.start(data)
	c := s.open("p", token)
	t.tablesOfLoad(c)
	seen := 0
	look := func(what string, r reply, err error, own ...string) {
		seen++
		if err != nil {
			t.fault("%s: %v", what, err)
			return
		}
		for _, secret := range t.secretsIn(r.body) {
			if !slices.Contains(own, secret) {
				t.fault("%s answers with a secret: %s", what, r)
			}
		}
	}
	made := t.mintAll(c)
	for _, each := range append(slices.Clone(made), token, t.secret("pat_"+strings.Repeat("A", 36)), t.secret(token[:39]+"!")) {
		other := s.open("p", each)
		for _, path := range []string{"/auth/me", "/auth/tokens", "/tables", "/records/ballast?limit=1", "/exports", "/imports", "/nowhere", "/records/ballast?limit=" + each} {
			r, err := other.get(c.path(path))
			look("GET "+path, r, err, each)
		}
		r, err := other.post("/query", map[string]any{"sql": "SELECT '" + each + "' AS t, ("})
		look("a broken statement", r, err, each)
		r, err = other.send("POST", c.path("/records/ballast"), strings.NewReader(`{"n": "`+each), "Content-Type", "application/json")
		look("broken JSON", r, err, each)
	}
	if _, err := t.bootstrap(c, "q"); err != nil {
		t.fault("bootstrap: %v", err)
	}
	r, err := c.call("POST", "/bootstrap", map[string]any{"project_slug": "p", "project_name": "p", "initial_project_user": map[string]any{"username": "u", "password": t.secret("pass-word-canary-2")}})
	look("bootstrap of a slug that is taken", r, err)
	l := t.startLoad(s, c, newLedger())
	t.pause(time.Second)
	l.stop()
	t.searchProcesses(s)
	s.end()
	s = t.start(data)
	t.searchProcesses(s)
	s.kill()
	t.figure("secrets used, answers searched", "%d, %d", len(t.secrets), seen)
}

// mintAll creates tokens in each possible way.
func (t *trial) mintAll(c *client) (made []string) {
	for _, body := range []map[string]any{
		{"revoke_previous": false}, {"revoke_previous": false, "scopes": []string{"records:read:ballast"}}, {"revoke_previous": false, "scopes": []string{"query:read"}},
	} {
		var answer struct{ Token struct{ Token string } }
		t.expect(c, "POST", c.path("/auth/tokens"), body, &answer)
		made = append(made, t.secret(answer.Token.Token))
	}
	var answer struct{ Token struct{ Token string } }
	t.expect(c, "POST", c.path("/auth/tokens/test"), map[string]any{"table_name": "ballast"}, &answer)
	return append(made, t.secret(answer.Token.Token))
}

// searchProcesses searches the arguments and the environment of the server and its
// children.
func (t *trial) searchProcesses(s *server) {
	for _, pid := range append(s.children(), s.cmd.Process.Pid) {
		for _, name := range []string{"cmdline", "environ"} {
			file, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
			if err != nil {
				continue
			}
			text, _ := io.ReadAll(file)
			file.Close()
			for _, secret := range t.secretsIn(text) {
				t.fault("the secret %.8s… is in %s of process %d", secret, name, pid)
			}
		}
	}
}
