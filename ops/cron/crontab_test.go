package cron

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const foreignTable = "# m h dom mon dow command\r\n\n  MAILTO = root@example.com\nPATH=/bin:/usr/bin\n" +
	"5 4 * * sun /usr/local/bin/backup --all % stdin %\n@daily\t/bin/true\n*/5 * * * 1-5 echo \"=\"\n" +
	"this is no crontab line\n0 25 * * * never\n17 3 * * * cd /srv/mosparo && php bin/console mosparo:cleanup-database >/dev/null 2>&1"

func parse(t testing.TB, text string, system bool) *Crontab {
	t.Helper()
	c, err := ParseCrontab([]byte(text), system, "prod")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCrontabKeepsForeignLines(t *testing.T) {
	c := parse(t, foreignTable, false)
	var kinds []LineKind
	for _, l := range c.Lines {
		kinds = append(kinds, l.Kind)
	}
	want := []LineKind{Comment, Blank, Setting, Setting, Entry, Entry, Entry, Broken, Broken, Entry}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
	if l := c.Lines[4]; l.Fields.Text != "5 4 * * sun" || l.Command != "/usr/local/bin/backup --all % stdin %" {
		t.Errorf("%+v", l)
	}
	block := NewBlock("prod", []string{"1 2 * * * job"})
	with := string(c.WithBlock(block))
	if with != foreignTable+"\n"+block {
		t.Errorf("got %q", with)
	}
	again := parse(t, with+"# after\n", false)
	if again.Block() != block {
		t.Errorf("block is %q", again.Block())
	}
	other := NewBlock("prod", []string{"3 4 * * * job"})
	if got := string(again.WithBlock(other)); got != foreignTable+"\n"+other+"# after\n" {
		t.Errorf("got %q", got)
	}
	if got := string(again.WithBlock("")); got != foreignTable+"\n# after\n" {
		t.Errorf("removed: %q", got)
	}
	if got := string(parse(t, "", false).WithBlock(block)); got != block {
		t.Errorf("into an empty crontab: %q", got)
	}
}

func TestSystemCrontab(t *testing.T) {
	c := parse(t, "SHELL=/bin/sh\n09,39 * * * *   root   [ -x /x ] && /x\n@reboot\tdaemon run\n5 * * * * root\n", true)
	if l := c.Lines[1]; l.Kind != Entry || l.User != "root" || l.Command != "[ -x /x ] && /x" {
		t.Errorf("%+v", l)
	}
	if l := c.Lines[2]; l.Kind != Entry || l.User != "daemon" || !l.Fields.Reboot {
		t.Errorf("%+v", l)
	}
	if c.Lines[3].Kind != Broken {
		t.Error("an entry without a command was taken")
	}
}

func TestBrokenMarkersAreErrors(t *testing.T) {
	b, e := "# BEGIN mosparoctl prod\n", "# END mosparoctl prod\n"
	ob, oe := "# BEGIN mosparoctl other\n", "# END mosparoctl other\n"
	for text, want := range map[string]string{
		b:             "line 1: a begin marker without its end",
		"x\n" + e:     "line 2: an end marker without its begin",
		e + b:         "line 1: an end marker",
		b + b + e:     "line 2: a second begin",
		b + e + b + e: "line 3: a second begin",
		b + e + e:     "line 3: an end marker without",
		b + ob + e:    "line 2: another deployment's marker",
		b + oe + e:    "line 2: another deployment's marker",
		ob + b + e:    "line 2: a begin marker inside the block of other",
		b + e + ob:    "line 3: a begin marker without its end",
	} {
		if _, err := ParseCrontab([]byte(text), false, "prod"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s…", text, err, want)
		}
	}
	for _, text := range []string{ob + oe + b + e, b + e + ob + oe, oe, "#BEGIN mosparoctl prod\n"} {
		if _, err := ParseCrontab([]byte(text), false, "prod"); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFindForeign(t *testing.T) {
	text := foreignTable + `
15 1 * * * www-data php /mosparo/bin/console mosparo:rule-packages:refresh > /dev/null
#0 1 * * * php bin/console mosparo:cleanup-database
0 * * * * curl -s "https://x.example/cron-jobs/execute?key=abc"
0 * * * * grep mosparo:cleanup-database-log /var/log/syslog
# BEGIN mosparoctl prod
0 1 * * * php bin/console mosparo:cleanup-database
# END mosparoctl prod
# BEGIN mosparoctl other
0 1 * * * php bin/console 'mosparo:rulesets:refresh'
# END mosparoctl other
`
	got := FindForeign("web1", "f", parse(t, text, false), func(string) bool { return true })
	want := []ForeignJob{
		{"web1", "f", 10, "mosparo:cleanup-database", ""},
		{"web1", "f", 11, "mosparo:rule-packages:refresh", "mosparo:rule-package:refresh"},
		{"web1", "f", 13, "web cron", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got[1].String() == got[0].String() || !strings.Contains(got[1].String(), "it is called mosparo:rule-package:refresh") {
		t.Error(got[1].String())
	}
	if n := len(FindForeign("web1", "f", parse(t, text, false), func(d string) bool { return d != "prod" })); n != 4 {
		t.Errorf("our block in a foreign place: %d found", n)
	}
}

func TestParseFields(t *testing.T) {
	for _, bad := range []string{"", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *",
		"*/0 * * * *", "5/2 * * * *", "a * * * *", "@fortnightly", "1,,2 * * * *", "1- * * * *", "-1 * * * *", "* * * foo *", "*/x * * * *", "001 * * * *"} {
		if _, err := ParseFields(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	at := func(text string) []int {
		f, err := ParseFields(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var got []int
		f.each(func(m int) { got = append(got, m) })
		return got
	}
	if diff := cmp.Diff([]int{67, 72, 187, 192}, at("7-12/5 1,3 * * *")); diff != "" {
		t.Error(diff)
	}
	if n := len(at("*/7 * * * *")); n != 24*9 {
		t.Errorf("*/7: %d", n)
	}
	for text, want := range map[string]bool{
		"0 0 13 * 5": true, "0 0 13 * *": true, "0 0 * * fri": true, "0 0 14 * 5": true, "0 0 14 * 1": false,
		"0 0 * nov *": true, "0 0 * 1 *": false, "0 0 */2 * 5": true, "0 0 */2 * 4": false, "@weekly": false, "0 0 * * 0-7": true,
	} {
		f, err := ParseFields(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.day(13, 11, 5); got != want { // a Friday the 13th
			t.Errorf("%s on Friday, 13 November: %v", text, got)
		}
	}
	sunday, _ := ParseFields("0 0 * * 7")
	if !sunday.day(1, 1, 0) {
		t.Error("7 is not Sunday")
	}
}

func FuzzCrontab(f *testing.F) {
	f.Add(foreignTable, false)
	f.Add("# BEGIN mosparoctl prod\n1 2 * * * x\n# END mosparoctl prod\n", false)
	f.Add("@daily root x\n\x00=\n\"a b\" = c", true)
	f.Fuzz(func(t *testing.T, text string, system bool) {
		c, err := ParseCrontab([]byte(text), system, "prod")
		if err != nil {
			return
		}
		if got := string(c.WithBlock(c.Block())); got != text {
			t.Fatalf("changed:\n%q\n%q", text, got)
		}
		block := NewBlock("prod", []string{"1 2 * * * job"})
		with := c.WithBlock(block)
		again, err := ParseCrontab(with, system, "prod")
		if err != nil || again.Block() != block {
			t.Fatalf("%v: %q", err, with)
		}
		if c.Block() == "" {
			if got := string(again.WithBlock("")); got != text && got != text+"\n" {
				t.Fatalf("not undone:\n%q\n%q", text, got)
			}
		}
		for _, l := range c.Lines {
			if l.Kind == Entry && !l.Fields.Reboot {
				l.Fields.each(func(m int) {
					if m < 0 || m >= 24*60 {
						t.Fatalf("minute %d of %q", m, l.Raw)
					}
				})
			}
		}
	})
}
