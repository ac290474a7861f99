package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/rest"
)

// formOf returns a form and its Content-Type. parts are alternating names and contents.
func formOf(t *testing.T, parts ...string) (body, contentType string) {
	t.Helper()
	var text bytes.Buffer
	w := multipart.NewWriter(&text)
	for i := 0; i < len(parts); i += 2 {
		create := w.CreateFormField
		if parts[i] == "file" {
			create = func(name string) (io.Writer, error) { return w.CreateFormFile(name, "people.csv") }
		}
		part, err := create(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(part, parts[i+1])
	}
	w.Close()
	return text.String(), "Content-Type: " + w.FormDataContentType()
}

// imported returns the import of an answer.
func imported(t *testing.T, r reply) (m imports.Manifest) {
	t.Helper()
	var answer struct {
		Data struct{ Import imports.Manifest }
	}
	if err := json.Unmarshal([]byte(r.body), &answer); err != nil {
		t.Fatalf("%v in %d %s", err, r.status, r.body)
	}
	return answer.Data.Import
}

func (s *shop) wantNoImport(t *testing.T) {
	t.Helper()
	list, _, err := s.imports.List(t.Context(), 1, imports.ListOptions{})
	if err != nil || len(list) != 0 {
		t.Errorf("%d imports are left, %v", len(list), err)
	}
}

const peopleCSV = "number,name\n1,Ada\n2,Grace\n"

// TestThreeWaysToSend sends one file as a body, as a form and in parts.
func TestThreeWaysToSend(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	options := func(table string) string { return `{"table":"` + table + `"}` }

	got := s.ask(t, "POST", "/imports?options="+`%7B%22table%22:%22a%22%7D`, peopleCSV, "X-File-Name: ma%C3%9Fe.csv", "Content-Type: text/csv")
	if m := imported(t, got); got.status != 201 || m.FileName != "maße.csv" || m.Status != imports.Ready {
		t.Errorf("%d %s", got.status, got.body)
	}
	body, contentType := formOf(t, "options", options("b"), "file", peopleCSV)
	got = s.ask(t, "POST", "/imports", body, contentType)
	if m := imported(t, got); got.status != 201 || m.FileName != "people.csv" || *m.SizeBytes != int64(len(peopleCSV)) {
		t.Errorf("%d %s", got.status, got.body)
	}
	location := s.begin(t, len(peopleCSV), options("c"))
	for at, part := range map[int]string{0: peopleCSV[:7]} {
		if got := s.patch(t, location, at, part); got.status != 204 || got.header.Get("Upload-Offset") != "7" || got.header.Get("Content-Length") != "" {
			t.Errorf("%d %v", got.status, got.header)
		}
	}
	if got := s.ask(t, "HEAD", location, "", "Tus-Resumable: 1.0.0"); got.status != 200 || got.header.Get("Upload-Offset") != "7" ||
		got.header.Get("Upload-Length") != strconv.Itoa(len(peopleCSV)) || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Tus-Resumable") != "1.0.0" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := s.patch(t, location, 7, peopleCSV[7:]); got.status != 204 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if m := imported(t, s.ask(t, "GET", location+"?wait=10", "")); m.Status != imports.Ready {
		t.Errorf("%+v", m)
	}
	for _, table := range []string{"a", "b", "c"} {
		if got := s.ask(t, "GET", "/records/"+table+"?count=1", ""); !strings.Contains(got.body, `"total":2`) {
			t.Errorf("%s: %s", table, got.body)
		}
	}
}

// begin begins an upload in parts and returns its path.
func (s *shop) begin(t *testing.T, size int, options string) (path string) {
	t.Helper()
	b64 := base64.StdEncoding.EncodeToString
	got := s.ask(t, "POST", "/imports", "", "Tus-Resumable: 1.0.0", "Upload-Length: "+strconv.Itoa(size),
		"Upload-Metadata: filename "+b64([]byte("people.csv"))+",options "+b64([]byte(options))+",is_final")
	path, ok := strings.CutPrefix(got.header.Get("Location"), "/projects/shop")
	if got.status != 201 || !ok || got.header.Get("Upload-Offset") != "0" {
		t.Fatalf("%d %v %s", got.status, got.header, got.body)
	}
	return path
}

func (s *shop) patch(t *testing.T, path string, at int, part string, headers ...string) reply {
	t.Helper()
	return s.ask(t, "PATCH", path, part, append([]string{"Tus-Resumable: 1.0.0", "Upload-Offset: " + strconv.Itoa(at), "Content-Type: application/offset+octet-stream"}, headers...)...)
}

func TestUploadsThatAreRefused(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	path := s.begin(t, 10, "{}")
	digest := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	}
	unknown, unknownType := formOf(t, "options", "{}", "note", "x", "file", peopleCSV)
	late, lateType := formOf(t, "file", peopleCSV, "options", "{}")
	none, noneType := formOf(t, "options", "{}")
	twice, twiceType := formOf(t, "options", "{}", "options", "{}", "file", peopleCSV)
	for name, test := range map[string]struct {
		got    reply
		status int
		says   string
	}{
		"another offset":      {s.patch(t, path, 3, "x"), 409, "Upload-Offset"},
		"another version":     {s.patch(t, path, 0, "x", "Tus-Resumable: 0.2.2"), 412, "Tus-Resumable"},
		"another type":        {s.patch(t, path, 0, "x", "Content-Type: text/csv"), 415, "application/offset+octet-stream"},
		"too many bytes":      {s.patch(t, path, 0, "01234567890"), 413, "more than the announced 10 bytes"},
		"another part":        {s.patch(t, path, 0, "x", "Content-Digest: "+digest("y")), 422, "Content-Digest"},
		"no digest":           {s.patch(t, path, 0, "x", "Content-Digest: sha-256=:AAA:"), 422, "Content-Digest"},
		"too large":           {s.ask(t, "POST", "/imports", "", "Tus-Resumable: 1.0.0", "Upload-Length: 99999999999999"), 413, "larger"},
		"no length":           {s.ask(t, "POST", "/imports", "", "Tus-Resumable: 1.0.0"), 422, "Upload-Length"},
		"no base64":           {s.ask(t, "POST", "/imports", "", "Tus-Resumable: 1.0.0", "Upload-Length: 1", "Upload-Metadata: filename ü"), 422, "Upload-Metadata"},
		"another file":        {s.ask(t, "POST", "/imports", peopleCSV, "Repr-Digest: "+digest("y")), 422, "Repr-Digest"},
		"unknown option":      {s.ask(t, "POST", "/imports?options=%7B%22tabel%22:1%7D", peopleCSV), 422, "tabel"},
		"wrong option":        {s.ask(t, "POST", "/imports?options=%7B%22mode%22:%22merge%22%7D", peopleCSV), 422, "mode"},
		"options in an array": {s.ask(t, "POST", "/imports?options=%5B%5D", peopleCSV), 422, `"field":"options"`},
		"no options":          {s.ask(t, "POST", "/imports?options=%7B", peopleCSV), 422, "options"},
		"unknown part":        {s.ask(t, "POST", "/imports", unknown, unknownType), 422, "note"},
		"options last":        {s.ask(t, "POST", "/imports", late, lateType), 422, "after the file"},
		"no file":             {s.ask(t, "POST", "/imports", none, noneType), 400, "no part named file"},
		"options twice":       {s.ask(t, "POST", "/imports", twice, twiceType), 422, "twice"},
		"a form cut off":      {s.ask(t, "POST", "/imports", twice[:100], twiceType), 400, "form"},
		"an import not there": {s.patch(t, "/imports/imp_20260601_182345_a1b2c3d4e5", 0, "x"), 404, "was not found"},
		"nothing at all":      {s.ask(t, "POST", "/imports", ""), 422, "empty"},
	} {
		if test.got.status != test.status || !strings.Contains(test.got.body, test.says) {
			t.Errorf("%s: %d %s", name, test.got.status, test.got.body)
		}
	}
	// None of this has damaged the upload.
	whole := "a,b\n1,2345"
	if got := s.patch(t, path, 0, whole[:10], "Content-Digest: "+digest(whole)); got.status != http.StatusNoContent {
		if head := s.ask(t, "HEAD", path, ""); head.header.Get("Upload-Offset") != "0" {
			t.Logf("the upload has %s bytes", head.header.Get("Upload-Offset"))
		}
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestTusAsItsTextSays checks what version 1.0.0 of the protocol demands beyond its
// core.
func TestTusAsItsTextSays(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	const version, octets = "Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream"
	ask := func(status int, method, path, body string, header ...string) reply {
		t.Helper()
		got := s.ask(t, method, path, body, header...)
		if got.status != status {
			t.Errorf("%s %s %v: %d %s", method, path, header, got.status, got.body)
		}
		if len(header) > 0 && strings.HasPrefix(header[0], "Tus-Resumable") && got.header.Get("Tus-Resumable") != "1.0.0" {
			t.Errorf("%s %s: an answer without Tus-Resumable", method, path)
		}
		return got
	}
	wants := func(got reply, header ...string) {
		t.Helper()
		for _, h := range header {
			if name, value, _ := strings.Cut(h, ": "); got.header.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, got.header.Get(name), value)
			}
		}
	}

	// A client that speaks another version may ask which versions are supported.
	told := ask(204, "OPTIONS", "/imports", "", "Tus-Resumable: 0.2.2")
	wants(told, "Tus-Version: 1.0.0", "Tus-Extension: creation,creation-defer-length,expiration,termination", "Tus-Max-Size: 17179869184", "Allow: GET, HEAD, POST, OPTIONS")
	if told.body != "" {
		t.Errorf("OPTIONS answers %s", told.body)
	}
	for _, method := range []string{"POST", "GET"} { // checked before anything else in the request
		wants(ask(412, method, "/imports?limit=x", "", "Tus-Resumable: 0.2.2"), "Tus-Version: 1.0.0")
	}

	// The length may be announced later.
	ask(400, "POST", "/imports", "", version, "Upload-Defer-Length: 2")
	ask(422, "POST", "/imports", "", version, "Upload-Defer-Length: 1", "Upload-Length: 5")
	ask(422, "POST", "/imports", "", version, "Upload-Defer-Length: 1", "Upload-Metadata: filename YQ==,filename Yg==")
	const metadata = "filename cGVvcGxlLmNzdg==,is_confidential,options eyJ0YWJsZSI6ImxhdGVyIn0="
	made := ask(201, "POST", "/imports", "", version, "Upload-Defer-Length: 1", "Upload-Metadata: "+metadata)
	path := strings.TrimPrefix(made.header.Get("Location"), "/projects/shop")
	wants(made, "Upload-Expires: Wed, 03 Jun 2026 01:23:45 GMT")
	wants(ask(200, "HEAD", path, "", version), "Upload-Defer-Length: 1", "Upload-Length: ", "Upload-Offset: 0", "Upload-Metadata: "+metadata, "Cache-Control: no-store")
	ask(415, "PATCH", path, "x", version, "Upload-Offset: 0", "Content-Type: text/csv")
	ask(409, "PATCH", path, "x", version, "Upload-Offset: 1", "Upload-Length: 3", octets)
	half := len(peopleCSV) / 2
	ask(204, "PATCH", path, peopleCSV[:half], version, "Upload-Offset: 0", octets)
	wants(ask(200, "HEAD", path, "", version), "Upload-Defer-Length: 1", "Upload-Length: ") // the refused requests have not set it
	ask(422, "PATCH", path, "", version, "Upload-Offset: "+strconv.Itoa(half), "Upload-Length: 3", octets)
	ask(413, "PATCH", path, "", version, "Upload-Offset: "+strconv.Itoa(half), "Upload-Length: 99999999999999", octets)
	length := "Upload-Length: " + strconv.Itoa(len(peopleCSV))
	wants(ask(204, "PATCH", path, "", version, "Upload-Offset: "+strconv.Itoa(half), length, octets), "Upload-Expires: Wed, 03 Jun 2026 01:23:45 GMT")
	wants(ask(200, "HEAD", path, "", version), "Upload-Defer-Length: ", length)
	ask(409, "PATCH", path, "", version, "Upload-Offset: "+strconv.Itoa(half), "Upload-Length: 1000", octets)
	ask(413, "PATCH", path, peopleCSV, version, "Upload-Offset: "+strconv.Itoa(half), octets)
	// Clients that cannot send PATCH send POST.
	ask(204, "POST", path, peopleCSV[half:], version, "X-HTTP-Method-Override: PATCH", "Upload-Offset: "+strconv.Itoa(half), octets)
	if m := imported(t, ask(200, "GET", path+"?wait=10", "")); m.Status != imports.Ready || m.FileName != "people.csv" || m.Report.Tables[0].Name != "later" {
		t.Errorf("%+v", m)
	}

	// Termination, of an upload and of an import.
	other := s.begin(t, 100, "{}")
	ask(200, "HEAD", other, "", version, "X-HTTP-Method-Override: DELETE")
	for _, path := range []string{other, path} {
		if got := ask(204, "DELETE", path, "", version); got.body != "" {
			t.Errorf("DELETE answers %s", got.body)
		}
		ask(404, "HEAD", path, "", version)
		ask(404, "PATCH", path, "x", version, "Upload-Offset: 0", octets)
	}
	ask(405, "POST", other, "", "X-HTTP-Method-Override: DELETE") // tus does not apply here

	// The password is not kept where clients ask for the state of an upload.
	r, err := http.NewRequest("POST", s.URL+"/import-project", nil)
	if err != nil {
		t.Fatal(err)
	}
	secret := base64.StdEncoding.EncodeToString([]byte(`{"project_slug":"made","initial_project_user":{"username":"ada","password":"correct horse"}}`))
	for name, value := range map[string]string{
		"Authorization": "Bearer " + s.token, "Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "filename YS5jc3Y=,options " + secret,
	} {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
	wants(ask(200, "HEAD", strings.TrimPrefix(response.Header.Get("Location"), "/projects/shop"), "", version), "Upload-Metadata: filename YS5jc3Y=")
}

// dribble sends a request whose body stops after its first bytes, and returns the
// server's answer.
func (s *shop) dribble(t *testing.T, request string, body string, stay bool) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\n%s", request, s.token, body)
	if !stay {
		return ""
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestSlowAndBrokenUploads(t *testing.T) {
	t.Parallel()
	s := openShop(t, openHouse(t, clock), Config{HTTP: rest.Config{BodyTimeout: 300 * time.Millisecond}})
	if answer := s.dribble(t, "POST /projects/shop/imports HTTP/1.1", "a,b\n", true); !strings.HasPrefix(answer, "HTTP/1.1 408 ") || !strings.Contains(answer, "request_timeout") {
		t.Errorf("a slow client gets %s", answer)
	}
	s.wantNoImport(t)
	s.dribble(t, "POST /projects/shop/imports HTTP/1.1", "a,b\n", false)
	time.Sleep(500 * time.Millisecond)
	s.wantNoImport(t)

	path := s.begin(t, 1000, "{}")
	patch := "PATCH /projects/shop" + path + " HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: "
	if answer := s.dribble(t, patch+"0", "a,b\n", true); !strings.HasPrefix(answer, "HTTP/1.1 408 ") {
		t.Errorf("a slow client gets %s", answer)
	}
	s.dribble(t, patch+"4", "1,2\n", false)
	time.Sleep(500 * time.Millisecond)
	if got := s.ask(t, "HEAD", path, ""); got.header.Get("Upload-Offset") != "8" {
		t.Errorf("the upload has %s bytes, want 8", got.header.Get("Upload-Offset"))
	}
}

func TestImportsWithKeys(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	key := "Idempotency-Key: once"
	first := s.ask(t, "POST", "/imports", peopleCSV, "X-File-Name: a.csv", key)
	again := s.ask(t, "POST", "/imports", peopleCSV, "X-File-Name: a.csv", key)
	if first.status != 201 || again.status != 201 || imported(t, again).ID != imported(t, first).ID || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s\n%d %s", first.status, first.body, again.status, again.body)
	}
	if got := s.ask(t, "POST", "/imports", peopleCSV+"3,Edith\n", "X-File-Name: a.csv", key); got.status != 422 || !strings.Contains(got.body, "Idempotency-Key") {
		t.Errorf("%d %s", got.status, got.body)
	}
	var ids []string
	for range 2 { // the boundary differs each time
		body, contentType := formOf(t, "options", `{"table":"b"}`, "file", peopleCSV)
		ids = append(ids, imported(t, s.ask(t, "POST", "/imports", body, contentType, "Idempotency-Key: form")).ID)
	}
	for range 2 {
		got := s.ask(t, "POST", "/imports", "", "Tus-Resumable: 1.0.0", "Upload-Length: 5", "Idempotency-Key: parts")
		ids = append(ids, imported(t, got).ID)
	}
	if ids[0] == "" || ids[0] != ids[1] || ids[2] != ids[3] || ids[0] == ids[2] {
		t.Errorf("the imports are %v", ids)
	}
}

// TestImportsOfSingleTables uses tokens that may write to one table only.
func TestImportsOfSingleTables(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	s.ask(t, "POST", "/table", `{"table_name":"others","columns":[{"name":"name"}]}`)
	full := s.token
	s.token = s.house.token(t, "shop", "records:write:contacts").Secret
	for options, want := range map[string]int{
		`{}`:                                   403,
		`{"table":"contacts"}`:                 403,
		`{"table":"others","mode":"append"}`:   403,
		`{"table":"nothing","mode":"append"}`:  404,
		`{"table":"contacts","mode":"append"}`: 201,
		`{"table":"contacts","mode":"append","tables":{"a":{"table":"others"}}}`: 403,
	} {
		body, contentType := formOf(t, "options", options, "file", "name\nAda\n")
		if got := s.ask(t, "POST", "/imports", body, contentType); got.status != want {
			t.Errorf("%s: %d %s", options, got.status, got.body)
		}
	}
	if got := s.ask(t, "GET", "/imports", ""); !strings.Contains(got.body, `"returned":1,`) {
		t.Errorf("its own: %s", got.body)
	}
	s.token = s.house.token(t, "shop", "records:write").Secret
	if got := s.ask(t, "GET", "/imports", ""); !strings.Contains(got.body, `"returned":0,`) {
		t.Errorf("those of others: %s", got.body)
	}
	s.token = full
	if got := s.ask(t, "GET", "/imports", ""); !strings.Contains(got.body, `"returned":1,`) {
		t.Errorf("all: %s", got.body)
	}
}

func TestImportEvents(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{})
	m := imported(t, s.ask(t, "POST", "/imports", peopleCSV, "Prefer: respond-async"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/projects/shop/imports/"+m.ID+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	time.AfterFunc(100*time.Millisecond, s.imports.Start)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(text), `"status":"pending"`) || !strings.Contains(string(text), `"status":"ready"`) {
		t.Errorf("%v: %s", err, text)
	}
}

// TestImportsAreDescribed checks the answers of a conversation against the OpenAPI
// document.
func TestImportsAreDescribed(t *testing.T) {
	judge := newJudge(t)
	s := openShop(t, openHouse(t, clock), Config{})
	ask := func(status int, method, path, body string, headers ...string) reply {
		t.Helper()
		got := s.ask(t, method, path, body, headers...)
		if got.status != status {
			t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
		}
		r, err := http.NewRequest(method, "/projects/shop"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		judge.check(t, r, &http.Response{StatusCode: got.status, Header: got.header}, []byte(got.body))
		return got
	}
	ask(201, "POST", "/imports?options=%7B%22types%22:%7B%22number%22:%22INTEGER%22%7D,%22skip%22:%5B%22name%22%5D%7D", peopleCSV, "X-File-Name: people.csv")
	failed := ask(409, "POST", "/imports", peopleCSV, "X-File-Name: people.csv")
	id := regexp.MustCompile(`imp_\w+`).FindString(failed.body)
	ask(202, "POST", "/imports", peopleCSV, "X-File-Name: later.csv", "Prefer: respond-async")
	ask(200, "GET", "/imports/"+id, "")
	ask(200, "GET", "/imports?limit=2", "")
	ask(200, "GET", "/imports/"+id+"/rejects", "")
	ask(200, "POST", "/imports/"+id+"/run", `{"table":"again"}`)
	ask(409, "POST", "/imports/"+id+"/run", "")
	ask(422, "POST", "/imports/"+id+"/run", `{"mode":"merge"}`)
	ask(200, "DELETE", "/imports/"+id, "")
	ask(404, "DELETE", "/imports/"+id, "")
	dry := imported(t, ask(201, "POST", "/imports?options=%7B%22dry_run%22:true,%22on_error%22:%22skip%22%7D", peopleCSV+"3,Cy,x\n", "X-File-Name: dry.csv"))
	if dry.Preview == nil || dry.Report != nil || dry.RejectedRows != 1 || len(dry.Preview.Tables[0].Sample) != 2 {
		t.Errorf("%+v", dry)
	}
	if got := ask(200, "GET", strings.TrimPrefix(*dry.RejectsURL, "/projects/shop"), ""); !strings.Contains(got.body, "\n") {
		t.Error(got.body)
	}
	ask(200, "POST", "/imports/"+dry.ID+"/run", "")
	path := s.begin(t, 100, "{}")
	ask(200, "GET", path, "")
	ask(409, "POST", path+"/run", "")
	ask(200, "DELETE", path, "")
	ask(200, "GET", path, "")
	ask(404, "HEAD", path, "")
	ask(404, "PATCH", path, "x", "Tus-Resumable: 1.0.0", "Upload-Offset: 0", "Content-Type: application/offset+octet-stream")
}

// FuzzSentFiles reads arbitrary headers: invalid ones are a problem and never more.
func FuzzSentFiles(f *testing.F) {
	f.Add("filename YS5jc3Y=,options e30=", "sha-256=:AAAA:")
	f.Add("is_final", "md5=:x:, sha-256=")
	f.Fuzz(func(t *testing.T, metadata, header string) {
		var faults problem.Faults
		_, options := readMetadata(&faults, metadata)
		importOptions.Options(&faults, options)
		digest(&faults, "Repr-Digest", header)
		if err := faults.Err(); err != nil && !problem.Is(err, problem.CodeValidationFailed) {
			t.Error(err)
		}
	})
}

// TestRunWithOptions runs a dry run again: options in the request replace all earlier
// options, and only then.
func TestRunWithOptions(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	got := s.ask(t, "POST", "/imports?options=%7B%22table%22:%22c%22,%22skip%22:%5B%22b%22%5D,%22dry_run%22:true%7D", "a,b\n1,2\n")
	path := strings.TrimPrefix(got.header.Get("Location"), "/projects/shop")
	for _, test := range []struct {
		body  string
		skips bool
	}{{`{"dry_run":true}`, true}, {`{"dry_run":true,"skip":null}`, true}, {`{"dry_run":true,"skip":[]}`, false}, {`{"dry_run":true}`, false}} {
		got := s.ask(t, "POST", path+"/run", test.body)
		if got.status != 200 || strings.Contains(got.body, `"skip":["b"]`) != test.skips {
			t.Errorf("with %s: %d %s", test.body, got.status, got.body)
		}
	}
}
