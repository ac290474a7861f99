package rest

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/zangtable/zangtable/internal/problem"
)

// ETags is the value of the header If-Match or If-None-Match: ETags with their quotes,
// or * for any.
type ETags struct {
	Sent bool
	Any  bool
	List []string
}

// maxETags is how many ETags a header may list.
const maxETags = 100

// UnmarshalText reads the header.
func (e *ETags) UnmarshalText(text []byte) error {
	e.Sent = true
	rest := strings.Trim(string(text), " \t")
	if e.Any = rest == "*"; e.Any {
		return nil
	}
	for {
		weak := strings.HasPrefix(rest, "W/")
		opaque := strings.TrimPrefix(rest, "W/")
		end := strings.IndexByte(strings.TrimPrefix(opaque, `"`), '"')
		if !strings.HasPrefix(opaque, `"`) || end < 0 || len(e.List) == maxETags {
			return problem.Invalid("", `Expected up to 100 ETags in double quotes, with commas between them, or *.`)
		}
		etag := opaque[:end+2]
		if rest = strings.TrimLeft(opaque[end+2:], " \t"); weak {
			etag = "W/" + etag
		}
		e.List = append(e.List, etag)
		if rest == "" {
			return nil
		}
		next, comma := strings.CutPrefix(rest, ",")
		if rest = strings.TrimLeft(next, " \t"); !comma {
			rest = "," // not an ETag
		}
	}
}

// Has reports whether an If-None-Match with these ETags means the given one, which
// only needs to be equal but for its weakness.
func (e ETags) Has(etag string) bool {
	if e.Any {
		return true
	}
	for _, other := range e.List {
		if strings.TrimPrefix(other, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// Schema describes the header.
func (ETags) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

// checkConditions notes preconditions that the route does not know. To ignore one would
// be to do what the client wants done only under that condition. A call that only reads
// may ignore those that merely save an answer.
func (c *call) checkConditions(faults *problem.Faults) {
	if c.ep.out == reflect.TypeFor[*Download]() {
		return
	}
	names := []string{"If-Match", "If-Unmodified-Since", "If-None-Match", "If-Modified-Since"}
	if c.ep.reads {
		names = names[:2]
	}
	for _, name := range names {
		sent := c.r.Header.Values(name)
		switch {
		case len(sent) == 0:
		case !c.ep.plan.hasHeader(name):
			faults.Add(name, "This call does not support the header %s: leave it out, or use a call that does.", name)
		case strings.TrimSpace(strings.Join(sent, "")) == "":
			faults.Required(name)
		}
	}
}

func (p *plan) hasHeader(name string) bool {
	for _, param := range p.params {
		if param.in == "header" && http.CanonicalHeaderKey(param.name) == name {
			return true
		}
	}
	return false
}
