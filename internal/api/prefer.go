package api

import (
	"strconv"
	"strings"
	"time"
)

// preferences are what the header Prefer asks of a slow call (RFC 7240).
type preferences struct {
	async bool
	wait  time.Duration // negative: not sent
}

// readPrefer reads the preferences that this server follows. Others, and
// values that make no sense, are ignored, as the standard asks; of a preference
// sent twice the first counts.
func readPrefer(header string) preferences {
	p := preferences{wait: -1}
	for preference := range strings.SplitSeq(header, ",") {
		word, _, _ := strings.Cut(preference, ";")
		name, value, _ := strings.Cut(word, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "respond-async":
			p.async = true
		case "wait":
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err == nil && p.wait < 0 {
				p.wait = time.Duration(seconds) * time.Second
			}
		}
	}
	return p
}

// limit returns how long to wait, at most the given time.
func (p preferences) limit(most time.Duration) time.Duration {
	switch {
	case p.wait >= 0:
		return min(p.wait, most)
	case p.async:
		return 0
	}
	return most
}

// applied is the answer's header Preference-Applied, with the time that it was
// ready to wait: at most the given one.
func (p preferences) applied(most time.Duration) string {
	var words []string
	if p.async {
		words = append(words, "respond-async")
	}
	if p.wait >= 0 {
		words = append(words, "wait="+strconv.Itoa(int(p.limit(most)/time.Second)))
	}
	return strings.Join(words, ", ")
}
