package widget

import "github.com/mosparoctl/mosparoctl/protection/php"

// Defaults are the design settings of a project with the values they have if nothing is stored, in mosparo's order.
func Defaults() *php.Array {
	all := php.NewArray()
	all.SetString("designMode", php.String(ModeSimple))
	for key, v := range defaultDesign().All() {
		all.Set(key, v)
	}
	for _, p := range [][2]string{{"colorWebsiteBackground", "rgb(255, 255, 255)"}, {"colorWebsiteForeground", "rgb(0, 0, 0)"},
		{"colorWebsiteAccent", "rgb(32, 107, 196)"}, {"colorHover", "rgb(32, 107, 196, 0.5)"}, {"colorSuccess", "rgb(0, 255, 0)"}, {"colorFailure", "rgb(255, 0, 0)"}} {
		all.SetString(p[0], php.String(p[1]))
	}
	return all
}
