package api

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/testkit"
)

// storeOf returns a configuration change that sends artifacts to a store.
func storeOf(t *testing.T, s3 *testkit.Bucket) func(*export.Config) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return func(c *export.Config) { c.Store, c.StorePause = s3.URL, time.Millisecond }
}

// TestDownloadFromAStoreIsAsFromAFolder sends the same requests to two servers, whose
// exports are in a folder and in a store.
func TestDownloadFromAStoreIsAsFromAFolder(t *testing.T) {
	shops := []*shop{
		openShop(t, openHouse(t, clock), Config{}),
		openShop(t, openHouse(t, clock, storeOf(t, testkit.NewS3(t))), Config{}),
	}
	paths := make([]string, len(shops))
	for i, s := range shops {
		s.ask(t, "POST", "/records/contacts", `{"rows":[{"name":"Ada"},{"name":"Zoë"},{"name":"Émile"}]}`)
		if got := s.ask(t, "POST", "/export/table/contacts", ""); got.status != 201 && got.status != 200 {
			t.Fatal(got.body)
		}
		paths[i] = "/export/download/" + s.ordered(t)
	}
	etag := shops[0].ask(t, "GET", paths[0], "").header.Get("Etag")
	for _, headers := range [][]string{
		nil,
		{"Range: bytes=0-0"}, {"Range: bytes=3-9"}, {"Range: bytes=5-"}, {"Range: bytes=-4"}, {"Range: bytes=0-999"}, {"Range: bytes=999-"},
		{"Range: bytes=x"}, {"Range: bytes=0-1,4-5"},
		{"Range: bytes=2-", "If-Range: " + etag}, {"Range: bytes=2-", `If-Range: "x"`},
		{"If-None-Match: " + etag}, {"If-Match: " + etag}, {`If-Match: "x"`},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			var got [2]reply
			for i, s := range shops {
				got[i] = s.ask(t, method, paths[i], "", headers...)
				got[i].header = got[i].header.Clone()
				for _, varies := range []string{"Date", "X-Request-Id"} {
					got[i].header.Del(varies)
				}
				if boundary := got[i].header.Get("Content-Type"); strings.HasPrefix(boundary, "multipart/byteranges; boundary=") {
					got[i].body = strings.ReplaceAll(got[i].body, strings.TrimPrefix(boundary, "multipart/byteranges; boundary="), "")
					got[i].header.Del("Content-Type")
				}
				if got[i].status >= 400 {
					got[i].body = "" // contains the request id
				}
			}
			if diff := cmp.Diff(got[0], got[1], cmp.AllowUnexported(reply{})); diff != "" {
				t.Errorf("%s %v (-folder +store):\n%s", method, headers, diff)
			}
		}
	}
}

func TestDownloadWhileTheStoreIsOutOfReach(t *testing.T) {
	s3 := testkit.NewS3(t)
	s := openShop(t, openHouse(t, clock, storeOf(t, s3)), Config{})
	s.ask(t, "POST", "/export/table/contacts", "")
	id := s.ordered(t)
	s3.Front(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	})
	got := s.ask(t, "GET", "/export/download/"+id, "")
	if got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `"code":"busy"`) {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	s3.Front(nil)
	s3.Remove("1/" + id + ".csv")
	if got := s.ask(t, "GET", "/export/download/"+id, ""); got.status != 404 || !strings.Contains(got.body, "vanished") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestDownloadIsCutOffWithTheStore: an answer that cannot be completed must not look
// complete.
func TestDownloadIsCutOffWithTheStore(t *testing.T) {
	s3 := testkit.NewS3(t)
	s := openShop(t, openHouse(t, clock, storeOf(t, s3)), Config{})
	s.ask(t, "POST", "/export/table/contacts", "")
	path := "/export/download/" + s.ordered(t)
	s3.Front(testkit.CutAnswers(func(r *http.Request) bool { return r.Method == "GET" }))
	if got := s.ask(t, "GET", path, ""); got.status != 200 || got.body != "id,name\n" {
		t.Errorf("byte after byte: %d %q", got.status, got.body)
	}
	s3.Front(func(straight http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			straight.ServeHTTP(w, r)
		})
	})
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/projects/shop"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return // cut off before the first byte
	}
	defer response.Body.Close()
	if content, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("%d %q", response.StatusCode, content)
	}
}

func TestDownloadRedirects(t *testing.T) {
	s := openShop(t, openHouse(t, clock, storeOf(t, testkit.NewS3(t)), func(c *export.Config) { c.LinkLife = time.Minute }), Config{})
	s.ask(t, "POST", "/export/table/contacts", "")
	path := "/export/download/" + s.ordered(t)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		method, header string
		status         int
	}{
		{"GET", "", 307}, {"GET", "Range: bytes=1-2", 307}, {"HEAD", "", 200},
		{"GET", `If-None-Match: "x"`, 200}, {"GET", `If-Match: "x"`, 412},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+"/projects/shop"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.token)
		if name, value, found := strings.Cut(c.header, ": "); found {
			r.Header.Set(name, value)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		location := response.Header.Get("Location")
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != c.status || (location != "") != (c.status == 307) {
			t.Errorf("%s %s: %d, Location %q", c.method, c.header, response.StatusCode, location)
		}
		if c.status == 307 && (!strings.Contains(location, "X-Amz-Expires=60") || response.Header.Get("Cache-Control") != "no-store") {
			t.Errorf("Location %q, %v", location, response.Header)
		}
	}
	// A client that follows the link gets the file, without sending its token there.
	got := s.ask(t, "GET", path, "", "Range: bytes=3-")
	if got.status != 206 || got.body != "name\n" || got.header.Get("Content-Disposition") != `attachment; filename="contacts.csv"` {
		t.Errorf("%d %v %q", got.status, got.header, got.body)
	}
}
