package envfile

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// sample is in mosparo's own form, with every type and every escape it has.
const sample = `<?php

return array (
  'mosparo_installed' => true,
  'mosparo_installed_version' => '1.5.4',
  'encryption_key' => '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
  'database_port' => 3306,
  'database_password' => 'it\'s a \\ and a ' . "\0" . ' byte
and a new line',
  'ratio' => 0.5,
  'one' => 1.0,
  'huge' => 1.0E+25,
  'least' => -9223372036854775807-1,
  'geoipActive' => false,
  'webCronJobSecretKey' => NULL,
  'empty' => '',
  'list' => 
  array (
    0 => 'a',
    5 => 
    array (
    ),
    'k' => -7,
  ),
);
`

func TestRoundTripIsByteStable(t *testing.T) {
	c, err := ParsePHP([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Format()); got != sample {
		t.Errorf("changed by reading and writing:\n%s", got)
	}
	if v, ok := c.Get("database_password"); !ok || v.Text() != "it's a \\ and a \x00 byte\nand a new line" {
		t.Errorf("database_password: %q", v.Text())
	}
	if n, ok := c.values(t, "least").Int(); !ok || n != math.MinInt64 {
		t.Errorf("least: %d", n)
	}
}

func (c *Config) values(t *testing.T, key string) Value {
	t.Helper()
	v, ok := c.Get(key)
	if !ok {
		t.Fatalf("no key %s", key)
	}
	return v
}

func TestSetKeepsOrder(t *testing.T) {
	c, err := ParsePHP([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	before := c.Clone()
	c.Set("mosparo_installed_version", StringValue("1.5.5"))
	c.Set("new", BoolValue(true))
	if !c.Delete("ratio") || c.Delete("ratio") {
		t.Error("Delete does not tell whether the key was there")
	}
	want := strings.Replace(sample, "'1.5.4'", "'1.5.5'", 1)
	want = strings.Replace(want, "  'ratio' => 0.5,\n", "", 1)
	want = strings.Replace(want, "  ),\n);", "  ),\n  'new' => true,\n);", 1)
	if got := string(c.Format()); got != want {
		t.Errorf("got:\n%s", got)
	}
	if string(before.Format()) != sample {
		t.Error("a change reached the clone")
	}
}

// accepted are forms people write; each becomes mosparo's form.
var accepted = map[string]string{
	"":                                  "",
	" \n":                               "",
	"<?php return [];":                  "",
	"<?php return array();\n":           "",
	"<?php\nreturn ['a'=>1, 'b'=>'x'];": "  'a' => 1,\n  'b' => 'x',\n",
	"<?php // one\n# two\n/* three */ return [ // four\n 'a' /* five */ => 1, # six\n];\n?>\n":     "  'a' => 1,\n",
	`<?php return ["a" => "x\ty\$z\x41\101\u{e9}\q"];`:                                             "  'a' => 'x\ty$zAA\u00e9\\\\q',\n",
	`<?php RETURN Array('a' . 'b' => TRUE, 'c' => Null, 'd' => 'x' . 1 . "y",);`:                   "  'ab' => true,\n  'c' => NULL,\n  'd' => 'x1y',\n",
	`<?php return ['a' => 0x1F, 'b' => 017, 'c' => 0b11, 'd' => 1_000, 'e' => -5, 'f' => 1e3];`:    "  'a' => 31,\n  'b' => 15,\n  'c' => 3,\n  'd' => 1000,\n  'e' => -5,\n  'f' => 1000.0,\n",
	`<?php return ['a' => 9223372036854775808, 'b' => .5, 'c' => 6., 'd' => -INF];`:                "  'a' => 9.223372036854776E+18,\n  'b' => 0.5,\n  'c' => 6.0,\n  'd' => -INF,\n",
	`<?php return ['a' => 1, 'b' => 2, 'a' => 3];`:                                                 "  'a' => 3,\n  'b' => 2,\n",
	`<?php return ['x', 5 => 'y', 'z', '7' => 'w', 'v', '08' => 'u', true => 't', null => 's', ];`: "  0 => 'x',\n  5 => 'y',\n  6 => 'z',\n  7 => 'w',\n  8 => 'v',\n  '08' => 'u',\n  1 => 't',\n  '' => 's',\n",
	`<?php return ['a' => "$ 5$", 'b' => "{ $"];`:                                                  "  'a' => '$ 5$',\n  'b' => '{ $',\n",
}

func TestAccepted(t *testing.T) {
	for src, want := range accepted {
		c, err := ParsePHP([]byte(src))
		if err != nil {
			t.Errorf("%q: %v", src, err)
			continue
		}
		if got := string(c.Format()); got != "<?php\n\nreturn array (\n"+want+");\n" {
			t.Errorf("%q became:\n%s", src, got)
		}
	}
}

func TestRefused(t *testing.T) {
	for src, want := range map[string]string{
		"x<?php return [];":                        "1:1: the file must begin with <?php",
		"<?phpreturn [];":                          "1:6: expected a blank",
		"<?php\n\n$a = 1; return [];":              "3:1: expected return",
		"<?php return 1;":                          "1:14: expected an array, found int",
		"<?php return [\n 'a' => $x];":             "2:9: a variable",
		"<?php return ['a' => getenv('X')];":       "1:22: a constant or a call",
		"<?php return ['a' => \"x$y\"];":           "1:24: a variable in a string",
		"<?php return ['a' => 'x];":                "1:22: the string does not end",
		"<?php return ['a' => \"x\\":               "1:25: the string does not end",
		"<?php return ['a' => 1":                   "1:14: the array does not end",
		"<?php return ['a' => 1 'b' => 2];":        "1:24: expected , or ]",
		"<?php return [] [];":                      "1:17: expected ; after",
		"<?php return []; echo 1;":                 "1:18: nothing may follow",
		"<?php return []; ?>\n\n":                  "1:20: text after ?>",
		"<?php return [/* ];":                      "1:15: the comment does not end",
		"<?php return ['a' => 1.2.3];":             "1:22: not a number",
		"<?php return ['a' => 08];":                "1:22: not a number",
		"<?php return ['a' => <<<X\nX];":           "1:22: heredoc",
		"<?php return [1.5 => 1];":                 "1:15: a key must be",
		"<?php return ['a' => [] . 'x'];":          "1:22: an array cannot be joined",
		"<?php return [9223372036854775807=>1,2]":  "1:38: no number is left",
		"<?php return " + strings.Repeat("[", 99):  "1:46: arrays are nested",
		"<?php return ['a' => ":                    "1:22: expected a value, found the end",
		"<?php return ['a' => ;":                   "1:22: expected a value",
		"<?php return ['secret' => \"\\u{d800}\"]": "1:29: not a valid",
	} {
		_, err := ParsePHP([]byte(src))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s…", src, err, want)
		}
	}
}

// runPHP returns what PHP's var_export makes of the file, or skips where there is no PHP (and fails in CI).
func runPHP(t testing.TB, src string) (string, error) {
	t.Helper()
	php := server.Binary(t, "php")
	file := filepath.Join(t.TempDir(), "env.mosparo.php")
	if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `error_reporting(0); $v = require $argv[1]; echo "<?php\n\nreturn "; var_export($v); echo ";\n";`
	out, err := exec.Command(php, "-n", "-d", "display_errors=0", "-r", script, file).Output()
	return string(out), err
}

// What PHP reads, we read alike, and what we write, PHP writes byte for byte.
func TestAgreesWithPHP(t *testing.T) {
	sources := []string{sample}
	for src := range accepted {
		if src = strings.TrimSpace(src); src != "" {
			sources = append(sources, src)
		}
	}
	for _, f := range []float64{0, 1, -1.5, 1e-4, 1.5e-5, 1e14, 1e16, 1e17, 1.2345678901234567e17, 0.1, 1e300, math.Copysign(0, -1), math.Inf(-1)} {
		c := Config{}
		c.Set("f", FloatValue(f))
		sources = append(sources, string(c.Format()))
	}
	for _, src := range sources {
		want, err := runPHP(t, src)
		if err != nil {
			t.Errorf("php does not read %q: %v", src, err)
			continue
		}
		c, err := ParsePHP([]byte(src))
		if err != nil {
			t.Errorf("%q: %v", src, err)
		} else if got := string(c.Format()); got != want {
			t.Errorf("%q:\ngot:\n%s\nPHP:\n%s", src, got, want)
		}
	}
}

func TestValueTruthAndText(t *testing.T) {
	for _, c := range []struct {
		v     Value
		text  string
		truth bool
	}{
		{Value{}, "", false}, {BoolValue(true), "1", true}, {BoolValue(false), "", false},
		{IntValue(0), "0", false}, {IntValue(-3), "-3", true}, {FloatValue(1), "1", true}, {FloatValue(0), "0", false},
		{StringValue("0"), "0", false}, {StringValue("false"), "false", true}, {StringValue(""), "", false},
		{ArrayValue(), "Array", false}, {ArrayValue(Entry{"a", IntValue(1)}, Entry{"a", IntValue(2)}), "Array", true},
	} {
		if c.v.Text() != c.text || c.v.Truth() != c.truth {
			t.Errorf("%s: text %q truth %v, want %q %v", c.v.PHP(), c.v.Text(), c.v.Truth(), c.text, c.truth)
		}
	}
}

func FuzzParsePHP(f *testing.F) {
	f.Add([]byte(sample))
	for src := range accepted {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := ParsePHP(src)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Col < 1 {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		once := c.Format()
		again, err := ParsePHP(once)
		if err != nil {
			t.Fatalf("can't read what we wrote: %v\n%s", err, once)
		}
		if string(again.Format()) != string(once) {
			t.Fatalf("not stable:\n%s\n%s", once, again.Format())
		}
	})
}
