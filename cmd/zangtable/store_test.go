package main

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

func TestExportsInABucket(t *testing.T) {
	t.Parallel()
	s3 := testkit.NewS3(t)
	credentials := []string{"AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret"}
	data, token := numbers(t, 20_000)
	p := start(t, data, "p", token, append(credentials, "ZANGTABLE_EXPORT_STORE="+s3.URL)...)
	m, err := p.export(t.Context(), "/export/table/numbers", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s3.Keys(), []string{"1/" + m.ID + ".csv"}; !slices.Equal(got, want) {
		t.Errorf("the bucket has %v, want %v", got, want)
	}
	_, _, whole := p.get(t, m.DownloadURL)
	if int64(len(whole)) != m.SizeBytes {
		t.Fatalf("%d bytes, the manifest says %d", len(whole), m.SizeBytes)
	}
	p.kill()

	// The next server keeps new exports in its folder, and leaves earlier ones where
	// they are.
	settings := append(credentials, "ZANGTABLE_EXPORT_OLD_STORES="+s3.URL)
	p = start(t, data, "p", token, settings...)
	status, header, part := p.get(t, m.DownloadURL, "Range", "bytes=1000-1999")
	if status != 206 || !bytes.Equal(part, whole[1000:2000]) || header.Get("Content-Range") != fmt.Sprintf("bytes 1000-1999/%d", len(whole)) {
		t.Errorf("a range: status %d, %d bytes, %q", status, len(part), header.Get("Content-Range"))
	}
	if _, err := p.export(t.Context(), "/export/schema", nil); err != nil || len(s3.Keys()) != 1 {
		t.Errorf("%v, the bucket has %v", err, s3.Keys())
	}
	p.kill()

	p = start(t, data, "p", token, append(settings, "ZANGTABLE_EXPORT_LINK_LIFE=5m")...)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(t.Context(), "GET", p.url+m.DownloadURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != 307 || !strings.Contains(response.Header.Get("Location"), "X-Amz-Expires=300") {
		t.Errorf("%v, status %d, %v", err, response.StatusCode, response.Header)
	}
	if _, _, body := p.get(t, m.DownloadURL); !bytes.Equal(body, whole) {
		t.Errorf("the link gives %d bytes", len(body))
	}
	var gone struct{ Deleted bool }
	if err := p.call(t.Context(), "DELETE", p.path("/exports/"+m.ID), nil, &gone); err != nil || !gone.Deleted {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(s3.Keys()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the bucket still has %v", s3.Keys())
		}
	}
}

func TestServeRefusesAStoreItDoesNotKnow(t *testing.T) {
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"serve", "--data", t.TempDir(), "--export-store", "ftp://exports"}, &out, &errs)
	if code == exitOK || !strings.Contains(errs.String(), "s3://, gs:// or azblob://") {
		t.Errorf("exit code %d\n%s", code, errs.String())
	}
}
