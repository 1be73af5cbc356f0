package inventory

import "path"

// Names below Paths.Root with LayoutReleases.
const (
	sharedDir   = "shared"
	currentLink = "current"
)

// ManageDir is the folder below Paths.Root where mosparoctl keeps what it needs on a node: locks, the state of the last
// sync, the trash.
const ManageDir = ".mosparoctl"

// InstallPath is where the running installation is seen on the node: the link to the current release, or Root in place.
func (n *Node) InstallPath() string {
	if n.Paths.Layout == LayoutInPlace {
		return path.Clean(n.Paths.Root)
	}
	return path.Join(n.Paths.Root, currentLink)
}

// SharedPath is where the shared path rel (relative to the installation, with slashes) lies on the node: below shared/ with
// LayoutReleases, in the installation itself in place. An empty rel names the folder that holds all shared paths.
func (n *Node) SharedPath(rel string) string {
	if n.Paths.Layout == LayoutInPlace {
		return path.Join(n.Paths.Root, rel)
	}
	return path.Join(n.Paths.Root, sharedDir, rel)
}

// ManagePath is the path of rel in the folder that mosparoctl keeps for itself on the node.
func (n *Node) ManagePath(rel string) string {
	return path.Join(n.Paths.Root, ManageDir, rel)
}
