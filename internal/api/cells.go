package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

type cellIn struct {
	recordKeyIn
	Column rest.Ref `path:"column_id_or_name"`
}

// maxCell bounds the bytes of one value in a request.
const maxCell = 32 << 20

// getCell shows a stored value. Whatever it is, a browser must not run it in the origin
// of the server: only images that cannot contain scripts are shown as what they are.
func (h *handlers) getCell(ctx context.Context, ws *Opened, in *cellIn) (*rest.Download, error) {
	cell, err := ws.DB.GetCell(ctx, string(in.Table), string(in.ID), string(in.Column))
	if err != nil {
		return nil, err
	}
	if cell.Null {
		return nil, problem.New(problem.CodeNotFound, "The value is null: it has no bytes.")
	}
	d := &rest.Download{
		Disposition: "attachment", ContentType: "application/octet-stream", SHA256: sha256.Sum256(cell.Bytes), Content: bytes.NewReader(cell.Bytes),
		Policy: "default-src 'none'; sandbox",
		Header: map[string]string{"ETag": cell.ETag, "Cache-Control": "private, no-store", "Cross-Origin-Resource-Policy": "same-origin"},
	}
	switch image := imageType(cell.Bytes); {
	case !cell.Blob:
		d.ContentType = "text/plain; charset=utf-8"
	case image != "":
		d.ContentType, d.Disposition = image, ""
	}
	return d, nil
}

// images are the types of images that browsers show and that contain no scripts, with
// the bytes that they begin with; ? stands for any byte.
var images = []struct{ begins, mediaType string }{
	{"\x89PNG\r\n\x1a\n", "image/png"},
	{"\xff\xd8\xff", "image/jpeg"},
	{"GIF87a", "image/gif"},
	{"GIF89a", "image/gif"},
	{"RIFF????WEBP", "image/webp"},
	{"????ftypavif", "image/avif"},
	{"????ftypavis", "image/avif"},
}

// imageType returns the type of an image, or "" for anything else.
func imageType(content []byte) string {
	for _, image := range images {
		if len(content) >= len(image.begins) && matches(content, image.begins) {
			return image.mediaType
		}
	}
	return ""
}

func matches(content []byte, begins string) bool {
	for i := range begins {
		if begins[i] != '?' && begins[i] != content[i] {
			return false
		}
	}
	return true
}

type putCellIn struct {
	cellIn
	IfMatch rest.ETags `header:"If-Match" doc:"Required: the ETag of the record, as the value was answered with it."`
	Body    rest.Incoming
}

// putCell stores the bytes of the body. They are read before the database is used, so
// that a slow client keeps nobody waiting.
func (h *handlers) putCell(ctx context.Context, ws *Workspace, in *putCellIn, faults *problem.Faults) (*rest.NoContent, error) {
	if err := mayTable(ctx, ws, in.Table, registry.RecordsWrite, registry.RecordsRead); err != nil {
		return nil, err
	}
	if !in.IfMatch.Sent && !faults.Any() {
		faults.Required("If-Match")
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	body, err := in.Body.Open(maxCell)
	if err != nil {
		return nil, err
	}
	value, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	media, _ := in.Body.Type()
	out := &rest.NoContent{}
	err = use(ctx, ws, func(ws *Opened) error {
		rows, err := ws.DB.PutCell(ctx, string(in.Table), string(in.ID), string(in.Column), value, strings.HasPrefix(media, "text/"), conditionsIn{IfMatch: in.IfMatch}.condition())
		out.Header = tagged(rows).Header
		return withRecord(err, integersIn{}.options())
	})
	return out, err
}
