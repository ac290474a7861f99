package testkit

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// S3 is a server that speaks S3, with one bucket, and whatever a test puts in
// front of it. Credentials can be any.
type S3 struct {
	URL string // of the bucket, as settings have it

	t       testing.TB
	objects *s3mem.Backend
	server  *httptest.Server
	mu      sync.Mutex
	front   func(http.Handler) http.Handler
}

const bucketName = "exports"

// NewS3 starts a server that ends with the test.
func NewS3(t testing.TB) *S3 {
	t.Helper()
	s := &S3{t: t, objects: s3mem.New()}
	if err := s.objects.CreateBucket(bucketName); err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewUnstartedServer(s.through(gofakes3.New(s.objects).Server()))
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.Start()
	t.Cleanup(s.server.Close)
	s.URL = "s3://" + bucketName + "?region=us-east-1&use_path_style=true&endpoint=" + url.QueryEscape(s.server.URL)
	return s
}

func (s *S3) through(straight http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		handler := straight
		if s.front != nil {
			handler = s.front(straight)
		}
		s.mu.Unlock()
		handler.ServeHTTP(w, r)
	})
}

// Front puts something in front of the server, or nothing.
func (s *S3) Front(front func(straight http.Handler) http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.front = front
}

// Keys returns the keys of all objects in their order.
func (s *S3) Keys() []string {
	s.t.Helper()
	list, err := s.objects.ListBucket(bucketName, nil, gofakes3.ListBucketPage{})
	if err != nil {
		s.t.Error(err)
		return nil
	}
	keys := []string{}
	for _, object := range list.Contents {
		keys = append(keys, object.Key)
	}
	return keys
}

// Header returns what an object has beside its content.
func (s *S3) Header(key string) map[string]string {
	s.t.Helper()
	object, err := s.objects.HeadObject(bucketName, key)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	return object.Metadata
}

// Place puts an object into the bucket behind everybody's back.
func (s *S3) Place(key, content string) {
	s.t.Helper()
	if _, err := s.objects.PutObject(bucketName, key, map[string]string{}, strings.NewReader(content), int64(len(content)), nil); err != nil {
		s.t.Error(err)
	}
}

// Remove removes an object behind everybody's back.
func (s *S3) Remove(key string) {
	s.t.Helper()
	if _, err := s.objects.DeleteObject(bucketName, key); err != nil {
		s.t.Error(err)
	}
}

// CutAnswers returns a front that ends the connection in the middle of the
// answers to the chosen requests.
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
