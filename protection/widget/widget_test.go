package widget_test

import (
	"encoding/xml"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/widget"
)

func settings(pairs ...string) protection.Settings {
	s := protection.Settings{}
	for i := 0; i < len(pairs); i += 2 {
		s[pairs[i]] = php.String(pairs[i+1])
	}
	return s
}

// The hashes were made by mosparo 1.5.4 for designs of these settings.
func TestDesignHash(t *testing.T) {
	radius := settings("designMode", "advanced")
	radius["boxRadius"] = php.Int(12)
	noLogo := settings("designMode", "invisible-simple")
	noLogo["showMosparoLogo"] = php.Bool(false)
	for _, c := range []struct {
		name     string
		settings protection.Settings
		want     string
	}{
		{"defaults", nil, "147a432c541ffb177b27afb330b961c25593198172d8f09f0119da97e03ffb8e"},
		{"small", settings("boxSize", "small"), "45760142afd3488c1aa54794235bc9c2d9c3563610f790ede1df90ad1552a724"},
		{"large", settings("designMode", "simple", "boxSize", "large"), "d8818a52434e41d41bef436052c2291a029b062ed579634b84db4e14796525ea"},
		{"advanced", settings("designMode", "advanced"), "ecc855e82829a66c0859500d79ed86f58101aff8245d234f6969b94d3bdfeb6a"},
		{"advanced with a radius", radius, "6cf246aba77b5fc7ea6c755ca6f1da58a90cd13e73cbf11ce5a0d3d11b5aba06"},
		{"another mode", settings("designMode", "other"), "ecc855e82829a66c0859500d79ed86f58101aff8245d234f6969b94d3bdfeb6a"},
		{"a strange colour", settings("colorWebsiteBackground", "rgb(1, 2, 3)) x"), "575a8e29993d8084cc3bd851a29d8a448891c446c4859dab7377076578c94856"},
		{"invisible", settings("designMode", "invisible-simple"), "0acedcef535e311f809c1e80ed1038cae0a5069f8fecec82123752f755e07f48"},
		{"invisible without logo", noLogo, "4997c34e10a998a22507fda4a0cc4e938dc7214e52742686ddc92ad2115a00b2"},
	} {
		if got := widget.NewDesign(c.settings).Hash(); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
		if got := widget.Settings(c.settings); len(got) != len(c.settings)+1 || got.Text("designConfigHash", "") != c.want {
			t.Errorf("settings of %s: %v", c.name, got)
		}
	}
}

func TestStyle(t *testing.T) {
	const uuid = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	base := widget.Own().Style
	style := func(s protection.Settings) string { return widget.NewDesign(s).Style(base, uuid, widget.LogoPath) }
	plain := style(nil)
	for _, never := range []string{"var(", "/*", "\n", ".mosparo__container{", ".mosparo__container ", "../"} {
		if strings.Contains(plain, never) {
			t.Errorf("%q is left over", never)
		}
	}
	for _, part := range []string{
		".mosparo__" + uuid, "solid rgb(32, 107, 196)", "border-radius: 11px", "url(/resources/logo.svg)", "url(/resources/logo.svg?fc=1&pcs=d)", "mosparo__ping-animation 0.6s",
	} {
		if !strings.Contains(plain, part) {
			t.Errorf("%q is missing", part)
		}
	}
	if strings.Count(plain, "{") != strings.Count(plain, "}") {
		t.Error("braces")
	}
	advanced := settings("designMode", "advanced", "colorBorder", "rgb(1, 2, 3)", "colorText", "", "colorShadow", "red;} body{display:none")
	advanced["boxRadius"], advanced["showPingAnimation"] = php.Int(21), php.Bool(false)
	advanced["fontSize"] = php.Map(php.Pair{Key: "value", Value: php.Float(1.5)}, php.Pair{Key: "unit", Value: php.String("em")})
	css := style(advanced)
	for _, part := range []string{"solid rgb(1, 2, 3)", "border-radius: 21px", "font-size: 1.5em", "color: transparent", "animation: none 0.6s", "display: none"} {
		if !strings.Contains(css, part) {
			t.Errorf("%q is missing", part)
		}
	}
	if strings.Contains(css, "body{") || strings.Contains(css, "logo.svg") {
		t.Error("a value breaks out of its declaration, or the logo is shown beside a large radius")
	}
	invisible := style(settings("designMode", "invisible-simple", "colorLoaderCircle", "rgb(9, 9, 9)"))
	for _, part := range []string{"display: none !important", "min-width: unset", "position: static", "rgb(9, 9, 9)"} {
		if !strings.Contains(invisible, part) {
			t.Errorf("%q is missing", part)
		}
	}
	if css := widget.NewDesign(settings("designMode", "advanced", "boxSize", "odd")).Style(base, uuid, ""); strings.Contains(css, ": ;") {
		t.Error("an unknown size leaves holes")
	}
}

// Minified style sheets of a release and values that are not defaults.
func TestStyleOfOtherBase(t *testing.T) {
	base := `.mosparo__container{color:var(--mosparo-text-color,rgb(0,0,0));background:var(--mosparo-loader-background-color,rgba(255,255,255,.8));` +
		`border-color:var(--mosparo-border-color,red);width:var(--site-width,var(--mosparo-circle-size,40px));height:var(--x)}`
	got := widget.NewDesign(settings("designMode", "advanced", "colorText", "blue", "colorLoaderBackground", "white")).Style(base, "u", "")
	want := `.mosparo__u{color:blue;background:white;border-color:var(--mosparo-border-color,red);width:var(--site-width,40px);height:var(--x)}`
	if got != want {
		t.Errorf("%s", got)
	}
	if got := widget.NewDesign(nil).Style("a{b:var(--x", "u", ""); got != "a{b:var(--x" {
		t.Errorf("broken input: %s", got)
	}
}

// Sizes set all measures but those of the circle's border, which mosparo takes from the advanced mode.
func TestStyleOfSizes(t *testing.T) {
	const base = "a{width:var(--mosparo-circle-size,40px);border:var(--mosparo-circle-border-width,3px);border-radius:var(--mosparo-circle-radius,20px);" +
		"height:var(--mosparo-icon-size,20px);margin:var(--mosparo-border-width,3px);font-size:var(--mosparo-font-size,16px)}"
	for size, want := range map[string]string{
		"small":  "a{width:32px;border:3px;border-radius:20px;height:16px;margin:2px;font-size:12px}",
		"medium": "a{width:40px;border:3px;border-radius:20px;height:20px;margin:3px;font-size:16px}",
		"large":  "a{width:44px;border:3px;border-radius:20px;height:22px;margin:4px;font-size:24px}",
	} {
		if got := widget.NewDesign(settings("boxSize", size)).Style(base, "u", ""); got != want {
			t.Errorf("%s: %s", size, got)
		}
	}
}

func TestAssets(t *testing.T) {
	a := widget.Own()
	if n := len(a.Script); n > 22*1024 {
		t.Errorf("the script has %d bytes", n)
	}
	if regexp.MustCompile(`(?i)https?://`).MatchString(a.Script + a.Style) {
		t.Error("an address of somebody else")
	}
	for _, logo := range []string{a.Logo(false, ""), a.Logo(true, "l"), a.Logo(true, "d")} {
		if err := xml.Unmarshal([]byte(logo), new(struct{})); err != nil {
			t.Error(err)
		}
	}
	if dark := a.Logo(true, "d"); !strings.Contains(dark, "#FFFFFF") || !strings.Contains(dark, `opacity="1.0"`) {
		t.Error(dark)
	}
	dir := t.TempDir()
	if _, err := widget.FromRelease(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	build := filepath.Join(dir, "public", "build")
	if err := os.MkdirAll(build, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mosparo-frontend.js", "mosparo-frontend.css"} {
		if err := os.WriteFile(filepath.Join(build, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := widget.FromRelease(dir)
	if err != nil || r.Script != "mosparo-frontend.js" || r.Style != "mosparo-frontend.css" || r.Logo(true, "d") != a.Logo(true, "d") {
		t.Error(r, err)
	}
	if err := os.Mkdir(filepath.Join(build, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	const logo = "<svg>{opacity:0.8;}{fill:var(--mosparo-text-color, rgb(0, 0, 0));}</svg>"
	if err := os.WriteFile(filepath.Join(build, "images", "mosparo_text_logo.svg"), []byte(logo), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err = widget.FromRelease(dir); err != nil {
		t.Fatal(err)
	}
	for scheme, want := range map[string]string{"l": "#000000", "d": "#FFFFFF", "u": "var(--mosparo-text-color, rgb(0, 0, 0))"} {
		if got := r.Logo(true, scheme); got != "<svg>{opacity:1.0;}{fill:"+want+";}</svg>" {
			t.Errorf("%s: %s", scheme, got)
		}
	}
	if r.Logo(false, "d") != logo {
		t.Error(r.Logo(false, "d"))
	}
}

// FuzzStyle looks for panics and for values that get out of their declaration.
func FuzzStyle(f *testing.F) {
	f.Add("a{b:var(--mosparo-text-color,rgb(0,0,0))}", "red")
	f.Add("var(--mosparo-text-color, rgb(0, 0, 0))", "};x{")
	f.Fuzz(func(t *testing.T, base, colour string) {
		d := widget.NewDesign(settings("designMode", "advanced", "colorText", colour))
		d.Style(base, "u", "/logo")
		const rule = "a{color:var(--mosparo-text-color, rgb(0, 0, 0))}"
		if css := d.Style(rule, "u", "/logo"); !strings.HasPrefix(css, "a{color:") || strings.Count(css, "}") != 1 || strings.Count(css, "{") != 1 || strings.Contains(css, ";") {
			t.Errorf("%q makes %s", colour, css)
		}
	})
}
