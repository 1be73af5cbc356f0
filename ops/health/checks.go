package health

// Checks lists all checks in the order in which reports show them. A new check is a file of its own and a line here.
func Checks() []Check {
	return []Check{
		reach(),
		disk(),
		clock(),
		releaseComplete(),
		codeVersion(),
		configEqual(),
		configKeys(),
		envEqual(),
		envValues(),
		owner(),
		staleCache(),
		geoIP(),
		resources(),
		phpVersion(),
		phpExtensions(),
		phpTimezone(),
		phpOPcache(),
		healthEndpoint(),
		cacheAdapter(),
		cacheURL(),
		cacheReach(),
		cacheShared(),
		dbReach(),
		dbSame(),
		dbWritable(),
		dbVersion(),
		dbServers(),
		balancerState(),
		cronJobs(),
	}
}
