package panel

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
)

//go:embed assets
var assetFiles embed.FS

// assetPrefix contains a hash of all files, so that browsers can keep them for good.
// Modules import each other by relative names and stay below it.
var assetPrefix = Prefix + "/assets/" + hashAssets() + "/"

func hashAssets() string {
	sum := sha256.New()
	err := fs.WalkDir(assetFiles, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := assetFiles.ReadFile(name)
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
		return err
	})
	if err != nil {
		panic(fmt.Errorf("read what is compiled in: %w", err))
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// asset returns the address of a file.
func asset(name string) string { return assetPrefix + name }

// packedAssets are the files that have been asked for, compressed once each.
var packedAssets sync.Map // of assetForm to func() []byte

type assetForm struct{ name, coding string }

// serveAsset answers with a file, compressed as the browser likes best.
func (p *Panel) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	text, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		p.refuse(w, r, http.StatusNotFound, "There is no such file", "Reload the page that needs it.")
		return
	}
	header := w.Header()
	header.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("Vary", "Accept-Encoding")
	for _, coding := range []string{"br", "gzip"} {
		if accepts(r, coding) {
			header.Set("Content-Encoding", coding)
			form := assetForm{name, coding}
			pack, _ := packedAssets.LoadOrStore(form, sync.OnceValue(func() []byte { return packAsset(text, coding) }))
			text = pack.(func() []byte)()
			break
		}
	}
	_, _ = w.Write(text) // a browser that has disconnected needs no answer
}

// accepts reports whether the browser takes a coding; browsers give no weights to them.
func accepts(r *http.Request, coding string) bool {
	for item := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		if strings.TrimSpace(item) == coding {
			return true
		}
	}
	return false
}

func packAsset(text []byte, coding string) []byte {
	var out bytes.Buffer
	if coding == "br" {
		w := brotli.NewWriterLevel(&out, brotli.BestCompression)
		_, _ = w.Write(text)
		_ = w.Close() // writes to a buffer cannot fail
		return out.Bytes()
	}
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is valid
	_, _ = w.Write(text)
	_ = w.Close()
	return out.Bytes()
}
