package testkit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// AzureAccount and AzureKey are the credentials of the bucket that NewAzure creates.
// The client reads them from the environment once per process.
const (
	AzureAccount = "account"
	AzureKey     = "a2V5"
)

// NewAzure returns a bucket on a server that implements as much of the Azure Blob
// Storage protocol as exports use. It verifies the signatures of links; of other
// requests it checks only that they are signed.
func NewAzure(t testing.TB) *Bucket {
	t.Helper()
	objects := &azureObjects{t: t, blobs: map[string]azureBlob{}, blocks: map[string][]byte{}}
	b, host := NewBucket(t, objects, objects)
	b.URL = "azblob://" + bucketName + "?protocol=http&storage_account=" + AzureAccount + "&domain=" + host
	return b
}

type azureObjects struct {
	t      testing.TB
	mu     sync.Mutex
	blobs  map[string]azureBlob
	blocks map[string][]byte // uploaded but not yet part of a blob, by key and id
}

type azureBlob struct {
	content []byte
	header  map[string]string
	time    time.Time
}

func (o *azureObjects) Keys() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string{}, slices.Sorted(maps.Keys(o.blobs))...)
}

func (o *azureObjects) Header(key string) map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.blobs[key].header
}

func (o *azureObjects) Place(key, content string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blobs[key] = azureBlob{content: []byte(content), time: time.Now()}
}

func (o *azureObjects) Remove(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.blobs, key)
}

func (o *azureObjects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has disconnected
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key, found := strings.CutPrefix(r.URL.Path, "/"+AzureAccount+"/"+bucketName)
	key = strings.TrimPrefix(key, "/")
	query := r.URL.Query()
	blob, there := o.blobs[key]
	switch what := query.Get("comp"); {
	case !found:
		refuse(w, http.StatusNotFound, "ContainerNotFound")
	case !strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey "+AzureAccount+":") && !isSignedLink(r, key):
		refuse(w, http.StatusForbidden, "AuthenticationFailed")
	case r.Method == http.MethodGet && what == "list":
		o.list(w, query.Get("prefix"))
	case r.Method == http.MethodPut && what == "block":
		o.blocks[key+" "+query.Get("blockid")] = body
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut && what == "blocklist":
		if body, there = o.join(key, body); !there {
			refuse(w, http.StatusBadRequest, "InvalidBlockList")
			return
		}
		o.put(w, r, key, body)
	case r.Method == http.MethodPut && r.Header.Get("X-Ms-Blob-Type") == "BlockBlob":
		o.put(w, r, key, body)
	case !there:
		refuse(w, http.StatusNotFound, "BlobNotFound")
	case r.Method == http.MethodDelete:
		delete(o.blobs, key)
		w.WriteHeader(http.StatusAccepted)
	default:
		blob.serve(w, r)
	}
}

// refuse answers as Azure does. The code is in a header, because HEAD has no body.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Ms-Error-Code", code)
	w.WriteHeader(status)
}

// isSignedLink reports whether the address allows anyone to read the blob now: see
// "Create a service SAS" in the Azure documentation.
func isSignedLink(r *http.Request, key string) bool {
	q := r.URL.Query()
	signed := []string{
		q.Get("sp"), q.Get("st"), q.Get("se"), "/blob/" + AzureAccount + "/" + bucketName + "/" + key,
		"", "", q.Get("spr"), q.Get("sv"), q.Get("sr"), "", "", "", "", "", "", "",
	}
	secret, err := base64.StdEncoding.DecodeString(AzureKey)
	if err != nil {
		return false
	}
	sum := hmac.New(sha256.New, secret)
	sum.Write([]byte(strings.Join(signed, "\n")))
	now := time.Now().UTC().Format("2006-01-02T15:04:05Z")
	return base64.StdEncoding.EncodeToString(sum.Sum(nil)) == q.Get("sig") && q.Get("st") <= now && now < q.Get("se") && q.Get("sp") == "r" && r.Method == http.MethodGet
}

// join returns the content of a blob made of the listed blocks.
func (o *azureObjects) join(key string, body []byte) (content []byte, ok bool) {
	var list struct{ Latest []string }
	if err := xml.Unmarshal(body, &list); err != nil {
		return nil, false
	}
	for _, id := range list.Latest {
		block, found := o.blocks[key+" "+id]
		if !found {
			return nil, false
		}
		content = append(content, block...)
		delete(o.blocks, key+" "+id)
	}
	return content, true
}

func (o *azureObjects) put(w http.ResponseWriter, r *http.Request, key string, content []byte) {
	blob := azureBlob{content: content, header: map[string]string{}, time: time.Now()}
	for _, name := range []string{"Cache-Control", "Content-Disposition", "Content-Md5", "Content-Type"} {
		if value := r.Header.Get("X-Ms-Blob-" + name); value != "" {
			blob.header[name] = value
		}
	}
	o.blobs[key] = blob
	w.WriteHeader(http.StatusCreated)
}

func (b azureBlob) serve(w http.ResponseWriter, r *http.Request) {
	for name, value := range b.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("X-Ms-Creation-Time", b.time.UTC().Format(http.TimeFormat))
	if part := r.Header.Get("X-Ms-Range"); part != "" {
		r.Header.Set("Range", part)
		w.Header().Del("Content-Md5") // it would be that of the part
	}
	http.ServeContent(w, r, "", b.time, bytes.NewReader(b.content))
}

func (o *azureObjects) list(w http.ResponseWriter, prefix string) {
	type blob struct {
		Name     string
		Modified string `xml:"Properties>Last-Modified"`
		Length   int    `xml:"Properties>Content-Length"`
	}
	var answer struct {
		XMLName xml.Name `xml:"EnumerationResults"`
		Blobs   []blob   `xml:"Blobs>Blob"`
	}
	for _, key := range slices.Sorted(maps.Keys(o.blobs)) {
		if b := o.blobs[key]; strings.HasPrefix(key, prefix) {
			answer.Blobs = append(answer.Blobs, blob{key, b.time.UTC().Format(http.TimeFormat), len(b.content)})
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	if err := xml.NewEncoder(w).Encode(answer); err != nil {
		o.t.Error(err)
	}
}
