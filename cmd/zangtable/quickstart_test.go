package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

func TestQuickstartTakesTheNextFreePort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"quickstart", "--once", "--data", t.TempDir(), "--listen", address}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	said, _, _ := strings.Cut(out.String(), "\n")
	if !strings.HasPrefix(said, address+" is in use, so this is 127.0.0.1:") {
		t.Errorf("it says %q", said)
	}
}

// TestVerifyFindsEveryDifference changes each thing that a download is compared with,
// one at a time.
func TestVerifyFindsEveryDifference(t *testing.T) {
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of abc
	hash := []byte("\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad")
	good := map[string][]string{
		"Etag":        {`"` + sum + `"`},
		"Repr-Digest": {"sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"},
	}
	if err := verify(manifest{SizeBytes: 3, SHA256: sum}, good, 3, hash); err != nil {
		t.Errorf("a good file: %v", err)
	}
	for name, err := range map[string]error{
		"size":        verify(manifest{SizeBytes: 4, SHA256: sum}, good, 3, hash),
		"manifest":    verify(manifest{SizeBytes: 3, SHA256: strings.Repeat("0", 64)}, good, 3, hash),
		"Repr-Digest": verify(manifest{SizeBytes: 3, SHA256: sum}, map[string][]string{"Etag": good["Etag"]}, 3, hash),
		"ETag":        verify(manifest{SizeBytes: 3, SHA256: sum}, map[string][]string{"Repr-Digest": good["Repr-Digest"]}, 3, hash),
	} {
		if err == nil {
			t.Errorf("another %s is not noticed", name)
		}
	}
}
