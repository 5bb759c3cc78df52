import Posix
import ArgumentParser
import Gateway
import Glibc

Signals.prepareProcess()

// A CGI is recognised by its environment alone. Its arguments are the client's: a web server makes
// them from a query string without '=' (RFC 3875 §4.4), and as a command line anyone could
// give orders.
if getenv("GATEWAY_INTERFACE") != nil, !Listener.isInherited {
    exit(CGIMode.run())
}
GitS3Backend.main()
