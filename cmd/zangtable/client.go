package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// client uses the HTTP API as any other client would: it knows the contract and nothing
// else about the server.
type client struct {
	url     string // of the server
	project string
	token   string
}

// path returns a path below the project's own.
func (c *client) path(rest string) string { return "/projects/" + c.project + rest }

// manifest is the part of an export's manifest that the client reads.
type manifest struct {
	ID           string `json:"id"`
	Kind         string `json:"kind"`
	DownloadName string `json:"download_name"`
	DownloadURL  string `json:"download_url"`
	RowCount     int64  `json:"row_count"`
	Status       string `json:"status"`
	SizeBytes    int64  `json:"size_bytes"`
	SHA256       string `json:"sha256"`
	Tables       []struct {
		Name     string `json:"name"`
		RowCount int64  `json:"row_count"`
	} `json:"tables"`
}

// call makes one request and decodes the data of its answer into out.
func (c *client) call(ctx context.Context, method, path string, body, out any) error {
	response, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		OK    bool            `json:"ok"`
		Data  json.RawMessage `json:"data"`
		Error *struct{ Code, Message string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	if !answer.OK {
		return fmt.Errorf("%s %s: %d %s: %s", method, path, response.StatusCode, answer.Error.Code, answer.Error.Message)
	}
	return json.Unmarshal(answer.Data, out)
}

func (c *client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, content)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("User-Agent", "zangtable/"+buildVersion())
	return http.DefaultClient.Do(r)
}

// waitUntilReady waits until the server answers.
func (c *client) waitUntilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		response, err := c.do(ctx, "GET", "/readyz", nil)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the server did not become ready")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// export creates an export and waits until it is ready.
func (c *client) export(ctx context.Context, path string, order any) (manifest, error) {
	var made struct{ Export manifest }
	if err := c.call(ctx, "POST", c.path(path), order, &made); err != nil {
		return manifest{}, err
	}
	for made.Export.Status == "pending" || made.Export.Status == "running" {
		select {
		case <-ctx.Done():
			return made.Export, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		if err := c.call(ctx, "GET", c.path("/exports/"+made.Export.ID), nil, &made); err != nil {
			return made.Export, err
		}
	}
	if made.Export.Status != "ready" {
		return made.Export, fmt.Errorf("export %s is %s", made.Export.ID, made.Export.Status)
	}
	return made.Export, nil
}

// download downloads an artifact to a file and verifies it: its size and hash must
// match the manifest and the headers.
func (c *client) download(ctx context.Context, m manifest, path string) error {
	response, err := c.do(ctx, "GET", m.DownloadURL, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("download %s: status %d", m.DownloadURL, response.StatusCode)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, hash), response.Body)
	if err != nil {
		return fmt.Errorf("download %s: %w", m.DownloadURL, err)
	}
	if err := verify(m, response.Header, size, hash.Sum(nil)); err != nil {
		return fmt.Errorf("%s: %w", m.DownloadName, err)
	}
	return f.Close()
}

func verify(m manifest, header http.Header, size int64, sum []byte) error {
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
	switch {
	case size != m.SizeBytes:
		return fmt.Errorf("%d bytes arrived, the manifest says %d", size, m.SizeBytes)
	case hex.EncodeToString(sum) != m.SHA256:
		return errors.New("the SHA-256 does not match the manifest")
	case header.Get("Repr-Digest") != digest:
		return errors.New("the SHA-256 does not match the header Repr-Digest")
	case header.Get("ETag") != `"`+m.SHA256+`"`:
		return errors.New("the SHA-256 does not match the ETag")
	}
	return nil
}
