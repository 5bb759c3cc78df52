import Glibc
import Posix

/// lighttpd with the configuration that the documentation gives, and a responder behind it.
package final class LighttpdSite: BackendHost {
    package let setup: Responder.Setup
    package let port: UInt16
    private let responder: Responder
    private let directory: TemporaryDirectory
    private let service: Service

    package init(_ setup: Responder.Setup) throws {
        let lighttpd = try Programs.find("lighttpd", remedy: "apt install lighttpd")
        var setup = setup
        setup.state = try setup.state ?? TemporaryDirectory()
        self.setup = setup
        responder = try Responder(setup)
        directory = try TemporaryDirectory()
        let passwords = try directory.file("htpasswd", try Nginx.passwordFile())
        let documented = try Self.documented(socket: responder.socket, passwords: passwords)
        var attempt = 1
        while true {
            let port = try Sockets.freePort()
            let path = try directory.file(
                "lighttpd.conf",
                """
                server.bind = "127.0.0.1"
                server.port = \(port)
                server.document-root = "\(directory.path)"
                server.upload-dirs = ( "\(directory.path)" )
                server.errorlog = "\(directory.path)/error.log"
                # Else a restart waits for no request.
                server.feature-flags = ( "server.graceful-shutdown-timeout" => 60 )
                \(documented)
                \(setup.serverConfiguration)
                """)
            let service = try Service(
                lighttpd, ["-D", "-f", path], environment: ["PATH": "/usr/bin:/bin"],
                log: directory.path + "/output.log")
            do {
                try service.waitUntilReady { (try? Sockets.connect(port: port)) != nil }
            } catch  where attempt < 5 && service.log.contains("Address already in use") {
                attempt += 1
                continue
            }
            self.port = port
            self.service = service
            return
        }
    }

    package var log: String { responder.log }

    package func bytesOnDisk() throws -> Int { try service.bytesOnDisk(in: directory.path) }

    /// lighttpd(8), "SIGNALS".
    package func reload() { service.signal(SIGUSR1) }

    /// The documentation's block that begins with `# lighttpd`, for another socket and password
    /// file.
    private static func documented(socket: String, passwords: String) throws -> String {
        var text = try Documentation.block("# lighttpd", of: "WebServers")
        for (shipped, own) in [
            ("/run/git-s3-backend.sock", socket),
            ("/etc/lighttpd/git-s3-backend.htpasswd", passwords),
        ] {
            guard text.contains(shipped) else { throw TestFailure("'\(shipped)' is not in it") }
            text = text.replacing(shipped, with: own)
        }
        return text
    }
}
