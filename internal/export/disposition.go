package export

import "strings"

// maxFileName limits a requested file name, in bytes. Percent-encoded, it still fits
// into the 2 KB that S3 allows for the headers of an object.
const maxFileName = 400

// Disposition returns the Content-Disposition header for the artifact. The plain
// filename parameter is safe on every system, for programs that take the first name
// they find. The requested name, with the extension of the format, follows in the
// filename* parameter for programs that support it (RFC 6266, section 4.3).
func (m *Manifest) Disposition() string {
	exact := m.DownloadName
	if asked := m.Options.FileName; asked != "" {
		f, _ := formatOf(m.Kind, m.Format)
		f = f.compressed(m.Options.Compression)
		exact = f.trimExt(asked) + "." + f.ext()
	}
	return ContentDisposition(m.DownloadName, exact)
}

// ContentDisposition returns the header under which a file is saved: name in ASCII,
// followed by exact in UTF-8 if it differs (RFC 6266, RFC 8187).
func ContentDisposition(name, exact string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '/' {
			return '_'
		}
		return r
	}, name)
	value := `attachment; filename="` + plain + `"`
	if plain != exact {
		value += "; filename*=UTF-8''" + percentEncode(exact)
	}
	return value
}

// percentEncode escapes every character that is not an attr-char of RFC 8187.
func percentEncode(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var out strings.Builder
	for _, b := range []byte(s) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', strings.IndexByte("!#$&+-.^_`|~", b) >= 0:
			out.WriteByte(b)
		default:
			out.WriteString("%" + string(hexDigits[b>>4]) + string(hexDigits[b&15]))
		}
	}
	return out.String()
}
