package arch

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/zangtable/zangtable/"

// levels is the import table: a package imports only packages of lower levels.
var levels = map[string]int{
	"examples":            0,
	"examples/clients/go": 0,
	"templates":           0,
	"internal/problem":    0,
	"internal/ids":        -1,
	"internal/meter":      -1,
	"internal/sqltext":    -1,
	"internal/sqlite":     0,
	"internal/disk":       1,
	"internal/storage":    2,
	"internal/limits":     1,
	"internal/artifact":   2,
	"internal/format":     1,
	"internal/worker":     2,
	"internal/jobs":       4,
	"internal/foreign":    3,
	"internal/projectdb":  3,
	"internal/journal":    3,
	"internal/registry":   4,
	"internal/export":     5,
	"internal/source":     4,
	"internal/ingest":     5,
	"internal/imports":    6,
	"internal/rehearsal":  6,
	"internal/rest":       3,
	"internal/api":        7,
	"internal/panel":      8,
	"internal/server":     9,
	"cmd/zangtable":       10,
}

// testOnly are the packages that only tests import.
var testOnly = []string{"internal/arch", "internal/format/newformat", "internal/testkit"}

// speakHTTP are the packages at the edge.
var speakHTTP = []string{"internal/api", "internal/rest", "internal/panel", "internal/server", "internal/testkit", "cmd/zangtable", "examples/clients/go"}

// file is one Go file of the module.
type file struct {
	name    string // slash-separated, from the root of the module
	syntax  *ast.File
	fset    *token.FileSet
	imports []string
}

func (f file) pkg() string  { return path.Dir(f.name) }
func (f file) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

func (f file) line(pos token.Pos) int { return f.fset.Position(pos).Line }

// files returns every Go file of the module.
func files(t *testing.T) []file {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d files were found", len(all))
	}
	return all
}

var parsed = sync.OnceValues(func() (all []file, err error) {
	root := filepath.Join("..", "..")
	fset := token.NewFileSet()
	for _, folder := range []string{"internal", "cmd", "examples", "templates"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "testdata":
				return filepath.SkipDir
			case d.IsDir() || filepath.Ext(name) != ".go":
				return nil
			}
			f, err := parse(fset, root, name)
			all = append(all, f)
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return all, nil
})

func parse(fset *token.FileSet, root, name string) (f file, err error) {
	relative, err := filepath.Rel(root, name)
	if err != nil {
		return f, err
	}
	syntax, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
	if err != nil {
		return f, err
	}
	f = file{name: filepath.ToSlash(relative), syntax: syntax, fset: fset}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return f, err
		}
		f.imports = append(f.imports, imported)
	}
	return f, nil
}

func TestImportsGoDownwards(t *testing.T) {
	for _, f := range files(t) {
		level, known := levels[f.pkg()]
		if !known && !slices.Contains(testOnly, f.pkg()) {
			t.Errorf("%s: the package %s is not in the import table", f.name, f.pkg())
			continue
		}
		for _, imported := range f.imports {
			pkg, ours := strings.CutPrefix(imported, module)
			if !ours || f.isTest() || slices.Contains(testOnly, f.pkg()) {
				continue
			}
			if slices.Contains(testOnly, pkg) {
				t.Errorf("%s imports %s, which is for tests only", f.name, pkg)
			} else if below, known := levels[pkg]; !known || below >= level {
				t.Errorf("%s imports %s, which is not below it", f.name, pkg)
			}
		}
	}
}

func TestOnlyTheEdgeSpeaksHTTP(t *testing.T) {
	for _, f := range files(t) {
		isHTTP := func(imported string) bool {
			return imported == "net/http" || strings.HasPrefix(imported, "net/http/")
		}
		if slices.ContainsFunc(f.imports, isHTTP) && !f.isTest() && !slices.Contains(speakHTTP, f.pkg()) {
			t.Errorf("%s imports net/http", f.name)
		}
	}
}

func TestOnlySQLiteUsesTheDriver(t *testing.T) {
	for _, f := range files(t) {
		for _, imported := range f.imports {
			isDriver := strings.HasPrefix(imported, "zombiezen.com/") || strings.HasPrefix(imported, "modernc.org/") || imported == "database/sql"
			if isDriver && f.pkg() != "internal/sqlite" {
				t.Errorf("%s imports %s", f.name, imported)
			}
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	comments := map[string][]string{}
	for _, f := range files(t) {
		if f.isTest() {
			if f.syntax.Doc != nil {
				t.Errorf("%s: a package comment in a test", f.name)
			}
			continue
		}
		found := comments[f.pkg()]
		if f.syntax.Doc != nil {
			found = append(found, f.name)
		}
		comments[f.pkg()] = found
	}
	for pkg, found := range comments {
		if len(found) != 1 {
			t.Errorf("%s has package comments in %v, want exactly one", pkg, found)
		}
	}
}

// A package's variables are set once; nothing runs before main.
func TestNothingRunsByItself(t *testing.T) {
	for _, f := range files(t) {
		for _, declaration := range f.syntax.Decls {
			if fn, ok := declaration.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function", f.name)
			}
		}
		for _, spec := range f.syntax.Imports {
			if spec.Name != nil && (spec.Name.Name == "_" && spec.Path.Value != `"embed"` || spec.Name.Name == ".") {
				t.Errorf("%s imports %s as %s", f.name, spec.Path.Value, spec.Name.Name)
			}
		}
	}
}

func TestEveryExportedNameIsExplained(t *testing.T) {
	for _, f := range files(t) {
		if f.isTest() {
			continue
		}
		for _, declaration := range f.syntax.Decls {
			for _, name := range unexplained(declaration) {
				t.Errorf("%s: %s has no comment", f.name, name)
			}
		}
	}
}

// unexplained returns the exported names of a declaration that have no comment
// of their own and none of the group that they stand in.
func unexplained(declaration ast.Decl) (names []string) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && hasExportedReceiver(d) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					names = append(names, s.Names[0].Name)
				}
			}
		}
	}
	return names
}

// hasExportedReceiver reports whether a function is no method, or one of an
// exported type: others are not seen from outside.
func hasExportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch receiver := t.(type) {
		case *ast.StarExpr:
			t = receiver.X
		case *ast.IndexExpr:
			t = receiver.X
		case *ast.IndexListExpr:
			t = receiver.X
		case *ast.Ident:
			return receiver.IsExported()
		default:
			return true
		}
	}
}

func TestNothingIsPutOff(t *testing.T) {
	for _, f := range files(t) {
		for _, group := range f.syntax.Comments {
			for _, word := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"} {
				if strings.Contains(group.Text(), word) {
					t.Errorf("%s: a comment says %s", f.name, word)
				}
			}
		}
	}
}
