package arch

import (
	"bytes"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxFunctionLines is where a function has to be cut in two. A test may be longer:
// many are a table of cases and a few lines that go through it.
const maxFunctionLines = 60

// longFunctions are lists rather than code.
var longFunctions = map[string]string{
	"internal/api/routes.go:routes": "the list of all routes",
}

// givenUp are words that were replaced, with what took their place. Neither names
// nor comments use them any more.
var givenUp = map[string]string{
	"crew":      "dispatcher, worker",
	"catalogue": "catalog",
	"stretch":   "span",
	"asofnow":   "withLiveState",
	"giveway":   "NoteRequest",
}

// formerBooks are the packages in which a job store was once called a book.
var formerBooks = []string{"internal/jobs", "internal/export", "internal/imports", "internal/artifact", "internal/server", "internal/rest", "internal/api", "internal/journal", "internal/registry"}

var book = regexp.MustCompile(`(?i)(\b|[a-z_])books?(\b|[A-Z_])`)

// british are spellings that the other half of the world uses: the statuses on
// the wire are American, so everything else is.
var british = regexp.MustCompile(`(?i)\b(cancell(ed|ing)|colours?|behaviours?|favour\w*|honour\w*|recognis\w+|organis\w+|optimis\w+|initialis\w+|serialis\w+|normalis\w+|(model|label|travel)l(ed|ing)|neighbours?|centred?|artefacts?)\b`)

// code matches the names in the glossary's last column, such as projectdb.Table
// or jobs.Store.Claim.
var code = regexp.MustCompile("`([a-z]+)\\.([A-Za-z.]+)`")

func TestGlossaryIsTrue(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := declared(t)
	names := 0
	for line := range bytes.Lines(text) {
		cells := strings.Split(strings.TrimSpace(string(line)), "|")
		if len(cells) != 5 { // not a row of three cells
			continue
		}
		for _, found := range code.FindAllStringSubmatch(cells[3], -1) {
			if names++; !known["internal/"+found[1]+"."+found[2]] {
				t.Errorf("%s: there is no %s in the code", strings.TrimSpace(cells[1]), found[0])
			}
		}
	}
	if names < 30 {
		t.Errorf("only %d names were found", names)
	}
}

// declared returns every top-level name, as internal/jobs.Store, and every method,
// as internal/jobs.Store.Claim.
func declared(t *testing.T) map[string]bool {
	known := map[string]bool{}
	for _, f := range files(t) {
		if f.isTest() {
			continue
		}
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				known[f.pkg()+"."+qualified(d)] = true
			case *ast.GenDecl:
				for _, name := range declaredBy(d) {
					known[f.pkg()+"."+name] = true
				}
			}
		}
	}
	return known
}

func declaredBy(d *ast.GenDecl) (names []string) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			names = append(names, spec.Name.Name)
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

// qualified returns the name of a function, behind that of its receiver.
func qualified(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}

func TestFunctionsAreShort(t *testing.T) {
	for _, f := range files(t) {
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || f.isTest() || longFunctions[f.name+":"+fn.Name.Name] != "" {
				continue
			}
			if lines := f.line(fn.End()) - f.line(fn.Pos()) + 1; lines > maxFunctionLines {
				t.Errorf("%s: %s has %d lines; %d are the most", f.name, qualified(fn), lines, maxFunctionLines)
			}
		}
	}
}

func TestWordsThatWereGivenUp(t *testing.T) {
	for _, f := range files(t) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				f.checkWords(t, n.Pos(), n.Name)
			case *ast.Comment:
				f.checkWords(t, n.Pos(), n.Text)
			}
			return true
		})
	}
}

func (f file) checkWords(t *testing.T, pos token.Pos, text string) {
	if f.name == "internal/arch/words_test.go" {
		return
	}
	if slices.Contains(formerBooks, f.pkg()) && !f.isTest() && book.MatchString(text) && !strings.Contains(strings.ToLower(text), "workbook") {
		t.Errorf("%s:%d: a book is a store now: %s", f.name, f.line(pos), text)
	}
	text = strings.ToLower(text)
	for word, instead := range givenUp {
		if strings.Contains(text, word) {
			t.Errorf("%s:%d: %q was given up for %s", f.name, f.line(pos), word, instead)
		}
	}
}

// TestSpellingIsAmerican looks at every text of the repository that people wrote.
func TestSpellingIsAmerican(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != root:
			return filepath.SkipDir
		case d.IsDir() || !d.Type().IsRegular():
			return nil
		}
		switch path.Ext(filepath.ToSlash(name)) {
		case ".go", ".md", ".txt":
		default:
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil || d.Name() == "words_test.go" {
			return err
		}
		number := 0
		for line := range bytes.Lines(text) {
			number++
			if found := british.Find(line); found != nil {
				t.Errorf("%s:%d: %s", name, number, found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
