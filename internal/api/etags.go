package api

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
)

// conditionsIn is the part of an input that makes a call depend on the state of a
// record.
type conditionsIn struct {
	IfMatch     rest.ETags `header:"If-Match" doc:"Make the call only if the record is in the state of one of these ETags. An ETag of some columns is compared with these alone."`
	IfNoneMatch rest.ETags `header:"If-None-Match" doc:"Make the call only if the record is in the state of none of these ETags; a GET answers 304 otherwise."`
}

func (in conditionsIn) condition() projectdb.Condition {
	return projectdb.Condition{Match: etagsOf(in.IfMatch), NoneMatch: etagsOf(in.IfNoneMatch)}
}

func etagsOf(sent rest.ETags) *projectdb.ETags {
	if !sent.Sent {
		return nil
	}
	return &projectdb.ETags{Any: sent.Any, List: sent.List}
}

// tagged is the head of an answer about one record.
func tagged(rows projectdb.Rows) rest.Head {
	return rest.Head{Header: map[string]string{"ETag": rows.ETag}}
}

// notModified is the head of an answer that the client has already.
func notModified(etag string) rest.Head {
	return rest.Head{Status: http.StatusNotModified, Header: map[string]string{"ETag": etag}}
}

// withRecord adds the record as it is to the problem of a failed precondition.
func withRecord(err error, o format.JSONOptions) error {
	var mismatch *projectdb.Mismatch
	if errors.As(err, &mismatch) {
		p := problem.From(err)
		p.Record, p.ETag = recordRow{mismatch.Current, o}, mismatch.Current.ETag
	}
	return err
}

// listETag returns the weak ETag of a list: the same request with the same token has the
// same answer until the next commit.
func listETag(ws *Opened, target string, commit int64) string {
	project, token := ws.Identity()
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d %q", project, token, commit, target))
	return `W/"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}
