package widget

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// The design modes of a project. A project without the setting is simple.
const (
	ModeSimple    = "simple"
	ModeAdvanced  = "advanced"
	ModeInvisible = "invisible-simple"
)

// Design is the look of a project's box.
type Design struct {
	mode   string
	values *php.Array // effective values, in the order that the hash is taken of
}

// defaultDesign lists the values of the advanced mode in their order.
func defaultDesign() *php.Array {
	values := php.NewArray()
	set := func(value php.Value, names ...string) {
		for _, name := range names {
			values.SetString(name, value)
		}
	}
	const black, white, red, blue, grey, shadow = "rgb(0, 0, 0)", "rgb(255, 255, 255)", "rgb(255, 0, 0)", "rgb(0, 0, 255)", "rgb(170, 170, 170)", "rgba(170, 170, 170, 0.3)"
	colour := func(c string, names ...string) { set(php.String(c), names...) }
	colour("block", "displayContent")
	colour("relative", "positionContainer")
	colour("medium", "boxSize")
	set(php.Int(11), "boxRadius")
	set(php.Int(3), "boxBorderWidth")
	set(php.Int(20), "checkboxRadius")
	set(php.Int(3), "checkboxBorderWidth")
	set(pixels(16), "fontSize")
	set(pixels(22), "lineHeight")
	colour(white, "colorBackground")
	colour(black, "colorBorder", "colorCheckbox", "colorText")
	colour(shadow, "colorShadow")
	colour("transparent", "colorShadowInset")
	colour(grey, "colorFocusCheckbox")
	colour(shadow, "colorFocusCheckboxShadow")
	colour("transparent", "colorLoadingCheckbox")
	colour(blue, "colorLoadingCheckboxAnimatedCircle")
	colour(white, "colorSuccessBackground")
	colour(black, "colorSuccessBorder")
	colour("rgb(0, 170, 0)", "colorSuccessCheckbox")
	colour(black, "colorSuccessText")
	colour(shadow, "colorSuccessShadow")
	colour("transparent", "colorSuccessShadowInset")
	colour(white, "colorFailureBackground")
	colour(black, "colorFailureBorder")
	colour(red, "colorFailureCheckbox")
	colour(black, "colorFailureText")
	colour(red, "colorFailureTextError")
	colour(shadow, "colorFailureShadow")
	colour("transparent", "colorFailureShadowInset")
	set(php.Bool(true), "showPingAnimation", "showMosparoLogo", "fullPageOverlay")
	colour("rgba(255, 255, 255, 0.8)", "colorLoaderBackground")
	colour(black, "colorLoaderText")
	colour(blue, "colorLoaderCircle")
	return values
}

func pixels(n int64) php.Value {
	return php.Map(php.Pair{Key: "value", Value: php.Int(n)}, php.Pair{Key: "unit", Value: php.String("px")})
}

// NewDesign derives the effective values from a project's settings.
func NewDesign(s protection.Settings) *Design {
	d := &Design{mode: s.Text("designMode", ModeSimple), values: defaultDesign()}
	switch d.mode {
	case ModeSimple:
		d.simple(s)
	case ModeInvisible:
		d.invisible(s)
	default: // a mode that is not known is as good as this one
		d.mode = ModeAdvanced
		for key := range defaultDesign().All() {
			d.take(s, key.String())
		}
		return d
	}
	size := sizes()[d.text("boxSize")]
	d.values.SetString("boxRadius", php.Int(size["border-radius"]))
	d.values.SetString("boxBorderWidth", php.Int(size["border-width"]))
	d.values.SetString("fontSize", pixels(size["font-size"]))
	d.values.SetString("lineHeight", pixels(size["line-height"]))
	return d
}

// take sets values that are stored, as they are stored.
func (d *Design) take(s protection.Settings, names ...string) {
	for _, name := range names {
		if v, stored := s[name]; stored {
			d.values.SetString(name, v)
		}
	}
}

func (d *Design) put(value string, names ...string) {
	for _, name := range names {
		d.values.SetString(name, php.String(value))
	}
}

func (d *Design) simple(s protection.Settings) {
	if _, known := sizes()[s.Text("boxSize", "")]; known {
		d.take(s, "boxSize")
	}
	background := s.Text("colorWebsiteBackground", "rgb(255, 255, 255)")
	foreground := s.Text("colorWebsiteForeground", "rgb(0, 0, 0)")
	accent := s.Text("colorWebsiteAccent", "rgb(32, 107, 196)")
	success := s.Text("colorSuccess", "rgb(0, 255, 0)")
	failure := s.Text("colorFailure", "rgb(255, 0, 0)")
	d.put(background, "colorBackground", "colorSuccessBackground", "colorFailureBackground")
	d.put(foreground, "colorText", "colorLoaderText")
	d.put(accent, "colorBorder", "colorCheckbox", "colorLoadingCheckboxAnimatedCircle", "colorFocusCheckbox", "colorLoaderCircle")
	d.put(s.Text("colorHover", "rgb(32, 107, 196, 0.5)"), "colorFocusCheckboxShadow")
	d.put(success, "colorSuccessBorder", "colorSuccessCheckbox", "colorSuccessText")
	d.put(failure, "colorFailureBorder", "colorFailureCheckbox", "colorFailureText", "colorFailureTextError")
	d.put("transparent", "colorShadow", "colorSuccessShadow", "colorFailureShadow")
	if strings.HasPrefix(background, "rgb(") {
		background = strings.NewReplacer("rgb(", "rgba(", ")", ", 0.8)").Replace(background)
	}
	d.put(background, "colorLoaderBackground")
}

func (d *Design) invisible(s protection.Settings) {
	for key := range defaultDesign().All() {
		if name := key.String(); strings.HasPrefix(name, "color") && !strings.HasPrefix(name, "colorLoader") && name != "colorFailureTextError" {
			d.put("transparent", name)
		}
	}
	d.put("invisible", "boxSize")
	d.put("none !important", "displayContent")
	d.put("static", "positionContainer")
	d.take(s, "fullPageOverlay", "colorLoaderBackground", "colorLoaderText", "colorLoaderCircle", "colorFailureTextError", "showMosparoLogo")
}

// Hash names the design: the file name of the project's style sheet and its designConfigHash.
func (d *Design) Hash() string {
	sum := sha256.Sum256([]byte(php.Serialize(php.ArrayOf(d.values))))
	return hex.EncodeToString(sum[:])
}

// hashSetting is where mosparo keeps the hash of a project's design.
const hashSetting = "designConfigHash"

// Settings are s with the hash of their design. PHP nodes find no style sheet for a project without it: whoever writes the
// settings of a project writes these.
func Settings(s protection.Settings) protection.Settings {
	out := maps.Clone(s)
	if out == nil {
		out = protection.Settings{}
	}
	out[hashSetting] = php.String(NewDesign(s).Hash())
	return out
}

func (d *Design) text(name string) string {
	v, _ := d.values.Get(name)
	text, _ := v.Text()
	return text
}

func (d *Design) flag(name string) bool {
	v, _ := d.values.Get(name)
	return v.Truthy()
}

// logoVisible is false where a large radius would cut the logo off.
func (d *Design) logoVisible() bool {
	radius, _ := d.values.Get("boxRadius")
	limit, limited := map[string]int64{"small": 15, "medium": 20, "large": 35}[d.text("boxSize")]
	return d.flag("showMosparoLogo") && !(limited && radius.Intval() > limit)
}

// sizes are the measures of each box size in pixels, by the name of the variable without its prefix.
func sizes() map[string]map[string]int64 {
	names := strings.Fields("font-size line-height padding-top padding-left padding-right padding-bottom border-radius border-width container-min-width " +
		"container-max-width circle-size circle-radius circle-border-width circle-margin-right loading-circle-radius shadow-blur-radius " +
		"shadow-spread-radius icon-size icon-border-offset icon-border-width checkmark-icon-height logo-left logo-bottom logo-width logo-height")
	out := map[string]map[string]int64{}
	for size, numbers := range map[string][]int64{
		"small":     {12, 16, 16, 20, 16, 16, 8, 2, 250, 430, 32, 16, 2, 16, 16, 8, 2, 16, -1, 2, 8, 9, 1, 55, 10},
		"medium":    {16, 22, 20, 24, 20, 20, 11, 3, 300, 500, 40, 20, 3, 20, 20, 12, 3, 20, -1, 2, 10, 10, 5, 70, 15},
		"large":     {24, 32, 26, 30, 26, 26, 16, 4, 300, 570, 44, 22, 4, 24, 22, 16, 4, 22, -2, 4, 11, 15, 10, 75, 15},
		"invisible": {16, 22, 23: 0, 24: 0},
	} {
		out[size] = map[string]int64{}
		for i, name := range names {
			out[size][name] = numbers[i]
		}
	}
	return out
}

// colours maps variables to the values that they get.
var colours = map[string]string{
	"content-display": "displayContent", "container-position": "positionContainer",
	"background-color": "colorBackground", "border-color": "colorBorder", "circle-border-color": "colorCheckbox", "text-color": "colorText",
	"shadow-color": "colorShadow", "shadow-inset-color": "colorShadowInset",
	"focus-circle-border-color": "colorFocusCheckbox", "focus-circle-shadow-color": "colorFocusCheckboxShadow",
	"loading-circle-border-color": "colorLoadingCheckbox", "loading-circle-animated-border-color": "colorLoadingCheckboxAnimatedCircle",
	"success-background-color": "colorSuccessBackground", "success-border-color": "colorSuccessBorder", "success-circle-border-color": "colorSuccessCheckbox",
	"success-text-color": "colorSuccessText", "success-shadow-color": "colorSuccessShadow", "success-shadow-inset-color": "colorSuccessShadowInset",
	"failure-background-color": "colorFailureBackground", "failure-border-color": "colorFailureBorder", "failure-circle-border-color": "colorFailureCheckbox",
	"failure-text-color": "colorFailureText", "failure-text-error-color": "colorFailureTextError", "failure-shadow-color": "colorFailureShadow",
	"failure-shadow-inset-color": "colorFailureShadowInset",
	"loader-background-color":    "colorLoaderBackground", "loader-text-color": "colorLoaderText", "loader-circle-color": "colorLoaderCircle",
}

// variables pairs each CSS variable's default with the value of the design.
func (d *Design) variables() map[string]variable {
	defaults := &Design{mode: ModeAdvanced, values: defaultDesign()}
	before, after := defaults.css(), d.css()
	out := map[string]variable{}
	for name, fallback := range before {
		out["--mosparo-"+name] = variable{fallback, after[name]}
	}
	return out
}

// css is the design as values of variables.
func (d *Design) css() map[string]string {
	out := map[string]string{}
	size, known := sizes()[d.text("boxSize")]
	if !known {
		size = sizes()["medium"]
	}
	for name, n := range size {
		out[name] = php.FormatInt(n) + "px"
		if d.mode == ModeInvisible && strings.HasPrefix(name, "container-") {
			out[name] = "unset"
		}
	}
	// The circle's measures of a size never take effect in mosparo, whose table of sizes comes second.
	for name, key := range map[string]string{"border-radius": "boxRadius", "border-width": "boxBorderWidth", "circle-radius": "checkboxRadius", "circle-border-width": "checkboxBorderWidth"} {
		v, _ := d.values.Get(key)
		out[name] = php.FormatInt(v.Intval()) + "px"
	}
	for name, key := range map[string]string{"font-size": "fontSize", "line-height": "lineHeight"} {
		v, _ := d.values.Get(key)
		number, _ := v.Get("value").Text()
		unit, _ := v.Get("unit").Text()
		out[name] = safeValue(number + unit)
	}
	for name, key := range colours {
		out[name] = safeValue(d.text(key))
	}
	choose := func(name, key, on, off string) {
		out[name] = off
		if d.flag(key) {
			out[name] = on
		}
	}
	choose("ping-animation-name", "showPingAnimation", "mosparo__ping-animation", "none")
	choose("loader-position", "fullPageOverlay", "fixed", "absolute")
	out["show-logo"] = "none"
	if d.logoVisible() {
		out["show-logo"] = "block"
	}
	return out
}

// safeValue keeps a stored value inside its declaration. An empty colour is transparent.
func safeValue(v string) string {
	if strings.ContainsAny(v, "{};<>\"'\\/\r\n") || strings.TrimSpace(v) == "" || strings.Count(v, "(") != strings.Count(v, ")") {
		return "transparent"
	}
	return v
}
