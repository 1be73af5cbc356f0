package message_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/message"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

func get(v php.Value, key string) string {
	s, _ := v.Get(key).Str()
	return s
}

func TestLocale(t *testing.T) {
	c := message.Own()
	for _, x := range []struct {
		r    message.Request
		want string
	}{
		{message.Request{AcceptLanguage: "de-CH,en;q=0.5"}, "de"},
		{message.Request{AcceptLanguage: "de;q=0.5,fr;q=0.9"}, "fr"},
		{message.Request{AcceptLanguage: "fr;q=0.9, de;q=0.9"}, "fr"},
		{message.Request{AcceptLanguage: "zh-CN"}, "zh_Hans"},
		{message.Request{AcceptLanguage: "zh-TW"}, "zh_Hant"},
		{message.Request{AcceptLanguage: "zh-Hant-TW"}, "zh_Hant"},
		{message.Request{AcceptLanguage: "pt-BR"}, "pt"},
		{message.Request{AcceptLanguage: "sr-Latn-RS"}, "sr"},
		{message.Request{AcceptLanguage: "nb-NO"}, "en"},
		{message.Request{AcceptLanguage: "xx-YY"}, "en"},
		{message.Request{AcceptLanguage: "DE_at"}, "en"},
		{message.Request{AcceptLanguage: "i-fr"}, "fr"},
		{message.Request{AcceptLanguage: "*"}, "en"},
		{message.Request{AcceptLanguage: "it;Q=0.2, fr"}, "fr"},
		{message.Request{AcceptLanguage: "it;q=0.2, fr;q=much"}, "it"},
		{message.Request{AcceptLanguage: "it;q=0.2, fr;q=0.1;q"}, "fr"},
		{message.Request{AcceptLanguage: "de;q=0.2, fr;q=\"0.4\";x=y"}, "fr"},
		{message.Request{AcceptLanguage: "de;q=0.9, fr;q=0.8, de;q=0.1"}, "fr"},
		{message.Request{AcceptLanguage: "de;q=0.1;q=0.9, fr;q=0.8"}, "de"},
		{message.Request{AcceptLanguage: " \"it\" , de;q=0.9"}, "it"},
		{message.Request{AcceptLanguage: "\"it,de\";q=0.1,, ; fr = x ; q = 0.2"}, "fr"},
		{message.Request{AcceptLanguage: "es-419;q=-1"}, "es"},
		{message.Request{AcceptLanguage: "de;x=1=q;q=0.6=5, fr;q=0.5"}, "de"},
		{message.Request{AcceptLanguage: ", ;, =de; fr"}, "en"},
		{message.Request{AcceptLanguage: "\"de"}, "de"},
		{message.Request{AcceptLanguage: "\"d\\e\\"}, "de"},
		{message.Request{AcceptLanguage: "../../x"}, "en"},
		{message.Request{AcceptLanguage: "de*"}, "de"},
		{message.Request{AcceptLanguage: "de fr"}, "de"},
		{message.Request{AcceptLanguage: "d\u00e9"}, "en"},
		{message.Request{}, "en"},
		{message.Request{Language: "de-CH"}, "de"},
		{message.Request{Language: "zh_CN"}, "zh_Hans"},
		{message.Request{Language: "zh-CN"}, "en"},
		{message.Request{Language: "pt_br"}, "pt"},
		{message.Request{Language: "zh_hans_XX"}, "zh_Hans"},
		{message.Request{Language: "ZH_HANS"}, "en"},
		{message.Request{Language: "it", AcceptLanguage: "de"}, "it"},
		{message.Request{Language: "xx", AcceptLanguage: "de"}, "en"},
		{message.Request{Language: "0", AcceptLanguage: "de"}, "de"},
		{message.Request{HTMLLanguage: "deutsch", Source: protection.LanguageHTMLBrowser}, "de"},
		{message.Request{HTMLLanguage: "fr", AcceptLanguage: "de"}, "de"},
		{message.Request{HTMLLanguage: "fr", AcceptLanguage: "de", Source: protection.LanguageHTMLBrowser}, "fr"},
		{message.Request{HTMLLanguage: "fr", AcceptLanguage: "de", Source: protection.LanguageBrowserHTML}, "de"},
		{message.Request{HTMLLanguage: "fr", AcceptLanguage: "xx", Source: protection.LanguageBrowserHTML}, "fr"},
	} {
		if got := get(c.Messages(x.r), "locale"); got != x.want {
			t.Errorf("%+v: %s, want %s", x.r, got, x.want)
		}
	}
}

func TestTexts(t *testing.T) {
	c := message.Own()
	if n := len(c.Languages()); n < 10 {
		t.Errorf("only %d languages", n)
	}
	english := c.Messages(message.Request{})
	const keys = "locale label accessibilityCheckingData accessibilityDataValid accessibilityProtectedBy errorGotNoToken errorInternalError " +
		"errorNoSubmitTokenAvailable errorSpamDetected errorLockedOut errorDelay hpLeaveEmpty"
	var order []string
	for key := range english.Array().All() {
		order = append(order, key.String())
	}
	if strings.Join(order, " ") != keys {
		t.Error(order)
	}
	for _, language := range c.Languages() {
		m := c.Messages(message.Request{Language: language})
		for key, text := range m.Array().All() {
			s, _ := text.Str()
			if en := get(english, key.String()); s == "" || language != "en" && s == en {
				t.Errorf("%s: %s is %q", language, key, s)
			}
			for placeholder, in := range map[string]string{"%datetime%": "errorLockedOut", "%seconds%": "errorDelay"} {
				if strings.Contains(s, placeholder) != (key.String() == in) {
					t.Errorf("%s: %s: %q", language, key, s)
				}
			}
		}
	}
	if m := c.Messages(message.Request{Language: "ja"}); get(m, "locale") != "ja" || get(m, "label") != get(english, "label") {
		t.Errorf("%s %s", get(m, "locale"), get(m, "label"))
	}
}

func TestTranslations(t *testing.T) {
	c := message.Own()
	own := []protection.Translation{
		{Key: protection.MessageLabel, Locale: "fr_FR", Text: "À moi"}, {Key: protection.MessageSpamDetected, Locale: "fr", Text: "Non"}, {Key: protection.MessageLabel, Locale: "en", Text: "Mine"}}
	m := c.Messages(message.Request{AcceptLanguage: "fr-FR", Translations: own})
	plain := c.Messages(message.Request{AcceptLanguage: "fr-FR"})
	if get(m, "locale") != "fr_FR" || get(m, "label") != "À moi" || get(m, "errorSpamDetected") != "Non" || get(m, "errorDelay") != get(plain, "errorDelay") {
		t.Errorf("%v %v %v", get(m, "locale"), get(m, "label"), get(m, "errorSpamDetected"))
	}
	beside := message.Request{AcceptLanguage: "fr/x", HTMLLanguage: "it", Source: protection.LanguageHTMLBrowser, Translations: own}
	if m := c.Messages(beside); get(m, "errorSpamDetected") != "Non" || get(m, "label") != "Mine" {
		t.Errorf("beside a browser's language that is none: %v %v", get(m, "errorSpamDetected"), get(m, "label"))
	}
	if m := c.Messages(message.Request{AcceptLanguage: "de", Translations: own}); get(m, "locale") != "en" || get(m, "label") != "Mine" {
		t.Errorf("%v %v", get(m, "locale"), get(m, "label"))
	}
}

func TestFromRelease(t *testing.T) {
	dir := t.TempDir()
	if _, err := message.FromRelease(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	files := map[string]string{"frontend.en.yaml": "label: L-en\nerror:\n  delay: D-en\n", "frontend.nb_NO.yaml": "error:\n  delay: D-nb\n", "frontend.de.yaml": "label: L-de\n", "frontend.peo.yaml": "label: ''\n", "mosparo.fr.yaml": "label: no\n"}
	if err := os.Mkdir(filepath.Join(dir, "translations"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, "translations", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		write(name, text)
	}
	c, err := message.FromRelease(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Languages(), []string{"de", "en", "nb_NO", "peo"}) {
		t.Error(c.Languages())
	}
	m := c.Messages(message.Request{Language: "de_CH"})
	if get(m, "locale") != "de" || get(m, "label") != "L-de" || get(m, "errorDelay") != "D-en" || get(m, "hpLeaveEmpty") == "" {
		t.Errorf("%v %v %v", get(m, "locale"), get(m, "label"), get(m, "errorDelay"))
	}
	if m := c.Messages(message.Request{Language: "nb_NO"}); get(m, "locale") != "en" {
		t.Error("a locale without a label is chosen")
	}
	if m := c.Messages(message.Request{Language: "peo"}); get(m, "locale") != "peo" || get(m, "label") != "L-en" {
		t.Errorf("a locale with an empty label: %v %v", get(m, "locale"), get(m, "label"))
	}
	write("frontend.de.yaml", "label: [")
	if _, err := message.FromRelease(dir); err == nil || !strings.Contains(err.Error(), "frontend.de.yaml") {
		t.Errorf("a broken file: %v", err)
	}
}

// FuzzMessages looks for panics and for locales that are not clean.
func FuzzMessages(f *testing.F) {
	c := message.Own()
	f.Add("de-CH;q=x, fr;q=0.8,*", "zh_hans_XX", "de-", 2)
	f.Fuzz(func(t *testing.T, accept, language, html string, source int) {
		m := c.Messages(message.Request{AcceptLanguage: accept, Language: language, HTMLLanguage: html, Source: protection.LanguageSource(source)})
		if locale := get(m, "locale"); !slices.Contains(strings.Fields("ar bg bn ca cs da de el en es et fi fr he hi hr hu id it ja km ko lv nl peo pl pt ro ru sk sl sq sr sv ta th tr uk vi zh_Hans zh_Hant"), locale) {
			t.Errorf("locale %q", locale)
		}
	})
}
