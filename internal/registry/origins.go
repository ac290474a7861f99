package registry

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Origins are the origins whose web pages may call the API and read its answers, in the
// form in which browsers send them: https://app.example.com, without a default port.
// The entry * stands for every origin.
type Origins []string

// anyOrigin is the entry for every origin.
const anyOrigin = "*"

// maxOrigins is how many entries a list can have.
const maxOrigins = 50

// maxOrigin is the maximum length of an entry in bytes: a scheme, and the longest name
// of a host.
const maxOrigin = 300

// Allow returns the value of the header Access-Control-Allow-Origin for a page of the
// given origin: the origin itself, * if all are allowed, or "" if it is not.
func (o Origins) Allow(origin string) string {
	switch {
	case slices.Contains(o, anyOrigin):
		return anyOrigin
	case origin != "" && slices.Contains(o, origin):
		return origin
	}
	return ""
}

// UnmarshalText reads a list of origins separated by commas.
func (o *Origins) UnmarshalText(text []byte) error {
	*o = nil
	for entry := range strings.SplitSeq(string(text), ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		origin, ok := parseOrigin(entry)
		if !ok {
			return fmt.Errorf("%s: %s", entry, badOrigin)
		}
		*o = append(*o, origin)
	}
	return nil
}

// parseOrigins reads a list of origins and notes what is wrong with each.
func parseOrigins(faults *problem.Faults, field string, list []string) Origins {
	origins := Origins{}
	if len(list) > maxOrigins {
		faults.Add(field, "At most %d origins are allowed. Use * to allow every origin.", maxOrigins)
		return origins
	}
	for i, text := range list {
		origin, ok := parseOrigin(text)
		if !ok {
			faults.Add(indexed(field, i), badOrigin)
		}
		if ok && !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	return origins
}

const badOrigin = "Must be an origin such as https://app.example.com or http://localhost:3000: a scheme and a host with at most a port. Use * to allow every origin."

// parseOrigin returns an origin in the form in which browsers send it.
func parseOrigin(text string) (origin string, ok bool) {
	if text == anyOrigin {
		return text, true
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > maxOrigin || strings.ContainsAny(text, "?#@") || u.Scheme == "" || u.Hostname() == "" || u.Path != "" {
		return "", false
	}
	host, port := strings.ToLower(u.Host), u.Port()
	if strings.ContainsFunc(host, notInHost) {
		return "", false
	}
	if standard := map[string]string{"http": "80", "https": "443"}[u.Scheme]; port == "" || port == standard {
		host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	}
	return u.Scheme + "://" + host, true // url.Parse lowercases schemes
}

// notInHost reports whether a character cannot be in the host of an origin. Names in
// other scripts are sent by browsers in their ASCII form (xn--…).
func notInHost(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-._:[]", r)
}

// AllowSomewhere is [Origins.Allow] with the lists of all projects together, for
// answers to callers who have not been identified: what depends on a single list would
// tell which projects exist.
func (r *Registry) AllowSomewhere(origin string) string {
	switch all := *r.allOrigins.Load(); {
	case all[anyOrigin]:
		return anyOrigin
	case all[origin]:
		return origin
	}
	return ""
}

// readOrigins renews what AllowSomewhere knows.
func (r *Registry) readOrigins(ctx context.Context) error {
	r.readingOrigins.Lock() // so that a newer reading is never replaced by an older one
	defer r.readingOrigins.Unlock()
	all := map[string]bool{}
	err := r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT cors_origins FROM projects WHERE cors_origins <> ''", nil, func(s *sqlite.Stmt) error {
			for _, origin := range strings.Fields(s.Text(0)) {
				all[origin] = true
			}
			return nil
		})
	})
	if err == nil {
		r.allOrigins.Store(&all)
	}
	return err
}
