package panel

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/zangtable/zangtable/internal/registry"
)

//go:embed templates
var templateFiles embed.FS

// views are the parsed templates of the pages, by name, each with the layout around it.
type views map[string]*template.Template

// parseViews parses what is compiled in.
func parseViews() views {
	layout := template.Must(template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html"))
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		panic(err) // only for a malformed pattern
	}
	all := views{}
	for _, name := range names {
		view := template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, name))
		all[strings.TrimSuffix(path.Base(name), ".html")] = view
	}
	return all
}

var functions = template.FuncMap{
	"asset":    asset,
	"operator": operatorName,
	// path joins escaped segments below the panel.
	"path":    func(segments ...any) string { return pagePath(segments...) },
	"record":  func(project string, table, id *string) string { return pagePath("p", project, "r", *table) + "/" + *id },
	"count":   count,
	"count64": func(n int) string { return count(int64(n)) },
	"size":    byteSize,
	"bytes":   byteSize,
	"ms":      duration,
	"bytes64": func(n *int64) string { return byteSize(*n) },
	"roles":   func() map[string]string { return accountRoles },
	"time":    readableTime,
	"deref": func(text *string) string {
		if text == nil {
			return ""
		}
		return *text
	},
	"plural": func(n int64, noun string) string {
		if n == 1 {
			return "1 " + noun
		}
		return count(n) + " " + noun + "s"
	},
}

// accountRoles are the roles of account users as people choose them.
var accountRoles = map[string]string{
	"owner": "Owner: everything", "admin": "Admin: all projects", "member": "Member: chosen projects",
}

// pagePath returns the address of a page, with each segment escaped.
func pagePath(segments ...any) string {
	var b strings.Builder
	b.WriteString(Prefix)
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(fmt.Sprint(s)))
	}
	return b.String()
}

// readableTime writes a time of the API, in UTC and to the second.
func readableTime(text string) string {
	text, _, _ = strings.Cut(strings.TrimSuffix(text, "Z"), ".")
	return strings.Replace(text, "T", " ", 1)
}

// count writes a number with separators between thousands.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// shortened cuts a text to so many characters.
func shortened(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// byteSize writes a number of bytes for people.
func byteSize(n int64) string {
	const kilo = 1000
	value, unit := float64(n), ""
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if value < kilo {
			break
		}
		value, unit = value/kilo, next
	}
	if unit == "" {
		return strconv.FormatInt(n, 10) + " B"
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// page is what the layout shows around the data of a page.
type page struct {
	Title    string
	Modules  []string // scripts, in assets/
	Preloads []string // what these import
	Project  string   // slug of the project that the page is about; "" for none
	Table    string   // the table that the page is about; "" for none
	Section  string   // the current entry of the navigation
	Rail     *rail    // nil without a project
	Notice   string   // what has just been done
	Data     any

	SignIn string            // address of the form for signing in
	Person *registry.Session // nil for somebody who has not signed in
	Owner  bool
	Theme  string
}

// minPacked is how many bytes of a page are worth compressing.
const minPacked = 1 << 10

// show answers with a page.
func (q *request) show(status int, view string, p page) {
	if q.visit != nil {
		p.Person, p.Owner = &q.visit.Session, q.visit.IsOwner()
	}
	p.Theme = themeOf(q.r)
	p.SignIn = q.signInForm()
	if p.Notice == "" {
		p.Notice = notices[q.r.URL.Query().Get("done")]
	}
	var text bytes.Buffer
	if err := q.views[view].ExecuteTemplate(&text, "layout.html", p); err != nil {
		q.Log.Error("render a page", "view", view, "error", err)
		http.Error(q.w, "The page could not be shown.", http.StatusInternalServerError)
		return
	}
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if text.Len() < minPacked || !accepts(q.r, "gzip") {
		q.w.WriteHeader(status)
		_, _ = text.WriteTo(q.w) // a browser that has disconnected needs no answer
		return
	}
	// Nobody can guess at a secret in a page by the length of what is sent: other sites
	// cannot make a browser ask for one with the session.
	q.w.Header().Set("Content-Encoding", "gzip")
	q.w.WriteHeader(status)
	packer, _ := gzip.NewWriterLevel(q.w, gzip.BestSpeed) // the level is valid
	_, _ = text.WriteTo(packer)
	_ = packer.Close()
}

// notices are what a page may be asked to say about what has just been done. They are
// named in its address, so that no other text can get there.
var notices = map[string]string{
	"password":  "Your password is changed. Your other sessions have ended.",
	"session":   "The session has ended.",
	"user":      "The user is added.",
	"removed":   "The user is removed.",
	"deleted":   "The project is deleted.",
	"exported":  "The export is ordered.",
	"revoked":   "The token is revoked.",
	"forgotten": "The export is deleted.",
	"undone":    "The run is undone: what it changed is as it was before.",
	"tracking":  "From now on, changes of records are recorded with the call that makes them.",
}

// themeCookie remembers whether somebody wants pages light or dark.
const themeCookie = "zt_theme"

// themeOf returns the chosen theme, "" for that of the system.
func themeOf(r *http.Request) string {
	cookie, err := r.Cookie(themeCookie)
	if err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		return cookie.Value
	}
	return ""
}
