import ArgumentParser
import Gateway
import Glibc

// A CGI is recognised by its environment: the web server gives it no arguments. Everything else
// is a command line.
if CommandLine.arguments.count == 1, getenv("GATEWAY_INTERFACE") != nil, !Listener.isInherited {
    exit(CGIMode.run())
}
GitS3Backend.main()
