package testkit

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Bucket is a bucket on a server of its own, behind whatever a test puts in front of
// it.
type Bucket struct {
	URL     string // of the bucket, as written in settings
	Objects        // direct access to the content

	mu    sync.Mutex
	front func(http.Handler) http.Handler
}

// Objects is the content of a bucket.
type Objects interface {
	// Keys returns the keys of all objects, sorted.
	Keys() []string
	// Header returns the metadata of an object.
	Header(key string) map[string]string
	Place(key, content string)
	Remove(key string)
}

// bucketName is the name of the only bucket on each server.
const bucketName = "exports"

// NewBucket starts a server that stops at the end of the test, and returns its address.
func NewBucket(t testing.TB, straight http.Handler, objects Objects) (b *Bucket, host string) {
	t.Helper()
	b = &Bucket{Objects: objects}
	server := httptest.NewUnstartedServer(b.through(straight))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return b, server.Listener.Addr().String()
}

func (b *Bucket) through(straight http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		handler := straight
		if b.front != nil {
			handler = b.front(straight)
		}
		b.mu.Unlock()
		handler.ServeHTTP(w, r)
	})
}

// Front puts middleware in front of the server, or none.
func (b *Bucket) Front(front func(straight http.Handler) http.Handler) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.front = front
}

// CutAnswers returns middleware that drops the connection in the middle of the answers
// to the chosen requests.
func CutAnswers(chosen func(*http.Request) bool) func(http.Handler) http.Handler {
	return func(straight http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !chosen(r) {
				straight.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			straight.ServeHTTP(answer, r)
			for name, values := range answer.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes()[:(answer.Body.Len()+1)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
	}
}
