// Command go shows how a program in Go works with a project: it adds a contact,
// exports the table of contacts, downloads the file and checks its hash. Usage:
//
//	TOKEN=pat_… go run . http://127.0.0.1:8080/projects/example_project contacts.csv
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: TOKEN=pat_… go run . PROJECT-URL FILE")
		os.Exit(2)
	}
	if err := export(os.Args[1], os.Args[2], os.Getenv("TOKEN")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func export(project, file, token string) error {
	contact := map[string]any{"company_id": 1, "first_name": "Ada", "last_name": "King", "email": "ada@example.com"}
	var added struct{ Row struct{ ID int64 } }
	if err := call("POST", project+"/records/contacts", token, contact, &added); err != nil {
		return err
	}
	fmt.Println("added contact", added.Row.ID)

	var ordered struct {
		Export struct {
			DownloadURL string `json:"download_url"`
			SHA256      string
			RowCount    int64 `json:"row_count"`
			SizeBytes   int64 `json:"size_bytes"`
		}
	}
	if err := call("POST", project+"/export/table/contacts", token, map[string]any{"format": "csv"}, &ordered); err != nil {
		return err
	}
	m := ordered.Export
	base, err := url.Parse(project)
	if err != nil {
		return err
	}
	sum, err := download(base.ResolveReference(&url.URL{Path: m.DownloadURL}).String(), file, token)
	if err != nil {
		return err
	}
	if sum != m.SHA256 {
		return fmt.Errorf("%s has the hash %s instead of %s", file, sum, m.SHA256)
	}
	fmt.Printf("exported %d rows, %d bytes, verified\n", m.RowCount, m.SizeBytes)
	return nil
}

// call sends a body as JSON and decodes the data of the answer.
func call(method, address, token string, body, data any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	response, err := send(method, address, token, bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		OK    bool
		Data  json.RawMessage
		Error struct{ Code, Message string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if !answer.OK {
		return fmt.Errorf("%s: %s", answer.Error.Code, answer.Error.Message)
	}
	return json.Unmarshal(answer.Data, data)
}

// download writes a file and returns the hash of its bytes.
func download(address, file, token string) (string, error) {
	response, err := send("GET", address, token, nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("download: %s", response.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, hash), response.Body)
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, out.Close())
}

func send(method, address, token string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequest(method, address, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	return http.DefaultClient.Do(request)
}
