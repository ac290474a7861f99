package panel

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/zangtable/zangtable/internal/registry"
)

// cookieName returns the name of the session's cookie. Over TLS, the prefix makes
// browsers refuse it from anybody but this host.
func (p *Panel) cookieName() string {
	if p.Secure {
		return "__Host-zt"
	}
	return "zt"
}

// visit returns the session of a request, nil if it names none.
func (p *Panel) visit(r *http.Request) (*registry.Visit, error) {
	cookie, err := r.Cookie(p.cookieName())
	if err != nil {
		return nil, nil
	}
	return p.Registry.Visit(r.Context(), cookie.Value)
}

// setSession gives the browser a session; an empty secret takes it away.
func (q *request) setSession(secret string) {
	cookie := http.Cookie{Name: q.cookieName(), Value: secret, Path: "/", HttpOnly: true, Secure: q.Secure, SameSite: http.SameSiteStrictMode}
	if cookie.MaxAge = int(registry.SessionLife.Seconds()); secret == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(q.w, &cookie)
}

// from says where the request comes from.
func (q *request) from() registry.From {
	return registry.From{Browser: q.r.UserAgent(), Address: q.ClientAddress(q.r).String()}
}

// signInPath returns where somebody without a session signs in, and comes back from. A
// form cannot be sent again, so after a POST the start page has to do.
func signInPath(r *http.Request) string {
	target := pagePath("sign-in")
	if r.Method == http.MethodGet && r.URL.Path != Prefix {
		target += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
	}
	return target
}

// signInForm returns where the person's name and password are sent.
func (q *request) signInForm() string {
	if q.visit != nil && q.visit.Project != nil {
		return pagePath("p", *q.visit.Project, "sign-in")
	}
	return pagePath("sign-in")
}

// nextPage returns where to go after signing in: only pages of the panel.
func nextPage(text string) string {
	next, err := url.Parse(text)
	if err != nil || next.Host != "" || next.Scheme != "" || !strings.HasPrefix(next.EscapedPath(), Prefix+"/") || strings.Contains(text, `\`) {
		return Prefix
	}
	return next.RequestURI()
}
