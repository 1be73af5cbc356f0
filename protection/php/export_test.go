package php

import "testing"

var exportTexts = []string{
	"<?php\n\nreturn array (\n  'a' => 'b',\n  'n' => 1,\n  'f' => 1.5,\n  't' => true,\n  'x' => NULL,\n  'q' => 'it\\'s \\\\ \\n',\n  'z' => 'a' . \"\\0\" . 'b',\n);\n",
	"<?php return [];", "<?php return ['a' => [1, 2, -3, 'k' => [false]], 5 => 'x', 'y'];", "<?php // c\n# d\n/* e */ return /* f */ array('a'=>1,) ; ?>\n",
	"<?php return ['a' => \"x\\ty\\$z\\\"\\q\", \"b\" => 'c' . 'd'];", "<?php return 'multi\nline';", "<?php return [-9223372036854775807, 9223372036854775808, 1e3, .5, 1_000];",
	"<?php declare(strict_types=1); return [TRUE, Null];", "<?php return ['5' => 1, '05' => 2];", "<?php return ['a' => 1, 'a' => 2];",
}

func TestExportAgainstPHP(t *testing.T) {
	want := runPHP(t, `return serialize(eval(preg_replace('/^<\?php (declare\S+ )?/', '', preg_replace('/^<\?php\n/', '<?php ', rtrim(str_replace('?>', '', $s))))));`, exportTexts)
	compare(t, exportTexts, want, func(s string) string {
		v, err := ParseExport(s)
		if err != nil {
			return err.Error()
		}
		return Serialize(v)
	})
}

func TestExportRefuses(t *testing.T) {
	for _, s := range []string{
		"return [];", "<?php return getenv('X');", "<?php return [PHP_VERSION];", "<?php return $x;", "<?php return ['a' => 'b'", "<?php return ['a' => 'b;", "<?php return [1 2];",
		"<?php return []; exit;", "<?php return \"$x\";", "<?php return \"\\x41\";", "<?php return 017;", "<?php return 0x1f;", "<?php return [1] + [2];", "<?php return -;", "<?php return 'a' . ;",
		"<?php return [null => 1];", "<html>", "<?php return array 'a';", "<?php return [" + "\x00",
	} {
		if v, err := ParseExport(s); err == nil {
			t.Errorf("%q was read as %s", s, Serialize(v))
		}
	}
	for _, s := range []string{"", "\n", "<?php\n", "<?php // nothing"} {
		if v, err := ParseExport(s); err != nil || v.Len() != 0 || v.Kind() != KindArray {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParseExport(f *testing.F) {
	for _, s := range exportTexts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseExport(s); err == nil {
			Serialize(v)
		}
	})
}
