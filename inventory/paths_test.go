package inventory

import "testing"

func TestPathsOfLayouts(t *testing.T) {
	tests := []struct {
		layout                         Layout
		install, shared, empty, manage string
	}{
		{LayoutReleases, "/srv/m/current", "/srv/m/shared/var/data", "/srv/m/shared", "/srv/m/.mosparoctl/trash"},
		{"", "/srv/m/current", "/srv/m/shared/var/data", "/srv/m/shared", "/srv/m/.mosparoctl/trash"},
		{LayoutInPlace, "/srv/m", "/srv/m/var/data", "/srv/m", "/srv/m/.mosparoctl/trash"},
	}
	for _, tt := range tests {
		n := &Node{Paths: Paths{Root: "/srv/m/", Layout: tt.layout}}
		for name, pair := range map[string][2]string{
			"InstallPath": {n.InstallPath(), tt.install},
			"SharedPath":  {n.SharedPath("var/data"), tt.shared},
			"empty":       {n.SharedPath(""), tt.empty},
			"ManagePath":  {n.ManagePath("trash"), tt.manage},
		} {
			if pair[0] != pair[1] {
				t.Errorf("layout %q: %s = %s, want %s", tt.layout, name, pair[0], pair[1])
			}
		}
	}
}
