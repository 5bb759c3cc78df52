import ArgumentParser
import Gateway
import Glibc
import Posix

Signals.prepareProcess()

// A CGI is recognized by its environment alone. Its arguments are the client's: a web server
// derives them from a query string without '=' (RFC 3875 §4.4), and as a command line they would
// let anyone run commands.
if getenv("GATEWAY_INTERFACE") != nil, !Listener.isInherited {
    exit(CGIMode.run())
}
GitS3Backend.main()
