package format

import "testing"

func TestSQLIsRecognized(t *testing.T) {
	for text, want := range map[string]bool{
		"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;":         true,
		"\ufeff-- a comment\n\n/* more */ CREATE TABLE t (a);": true,
		"\xff\xfeB\x00E\x00G\x00I\x00N\x00;\x00":               true,
		"BEGIN;\n":                                             true,
		"insert into t values (1);":                            true,
		"-- MySQL dump 10.13\n":                                true,
		"SET NAMES utf8;\n":                                    true,
		"create,insert\n1,2\n":                                 false,
		"begin;end\n1;2\n":                                     false,
		"set,of,names\n":                                       false,
		"a,b\n1,2\n":                                           false,
		"-- ,b\n1,2\n":                                         false,
		"drop table\n1\n":                                      false,
		"insert into\n":                                        false,
		"{\"a\": 1}":                                           false,
		"":                                                     false,
		"Use this; do that, and more;\nset a = b, c;\n": false,
	} {
		if got := looksLikeSQL([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestTheLastFormatIsRecognized(t *testing.T) {
	members, magic := []string{"a"}, []string{"m"}
	fs := Formats{{Name: "first", Members: members, Magic: magic}, {Name: "last", Members: members, Magic: magic}}
	if zip, file := fs.RecognizeZIP(func(string) bool { return true }), fs.Recognize([]byte("m")); zip != fs[1] || file != fs[1] {
		t.Errorf("got %s in a ZIP file and %s outside", zip.Name, file.Name)
	}
}
