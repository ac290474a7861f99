package rest

import (
	"io"
	"strings"
	"testing"
)

// FuzzForms reads arbitrary forms: invalid ones are a problem and never more.
func FuzzForms(f *testing.F) {
	f.Add("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\na,b\r\n--b--\r\n")
	f.Add("--b\nContent-Disposition: form-data; name=options\n\n{}\n--b\n")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := readForm(strings.NewReader(body), "b")
		if err == nil {
			_, err = io.Copy(io.Discard, form.File)
		}
		if err != nil && !isProblem(err) {
			t.Errorf("%v", err)
		}
	})
}
