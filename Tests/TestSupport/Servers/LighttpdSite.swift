import Glibc
import Posix

/// lighttpd with the configuration that the documentation gives, and an instance behind it.
package final class LighttpdSite: BackendHost {
    package let setup: ServerProcess.Setup
    package let port: UInt16
    private let instance: ServerProcess
    private let directory: TemporaryDirectory
    private let service: Service

    package init(_ setup: ServerProcess.Setup) throws {
        let lighttpd = try Programs.find("lighttpd", remedy: "apt install lighttpd")
        var setup = setup
        setup.state = try setup.state ?? TemporaryDirectory()
        self.setup = setup
        instance = try ServerProcess(setup)
        let directory = try TemporaryDirectory()
        self.directory = directory
        let passwords = try directory.file("htpasswd", try Nginx.passwordFile())
        let documented = try Self.documented(socket: instance.socket, passwords: passwords)
        let started = try Service.start { ports in
            let path = try directory.file(
                "lighttpd.conf",
                """
                server.bind = "127.0.0.1"
                server.port = \(ports[0])
                server.document-root = "\(directory.path)"
                server.upload-dirs = ( "\(directory.path)" )
                server.errorlog = "\(directory.path)/error.log"
                # Else a restart waits for no request.
                server.feature-flags = ( "server.graceful-shutdown-timeout" => 60 )
                \(documented)
                \(setup.serverConfiguration)
                """)
            return try Service(
                lighttpd, ["-D", "-f", path], environment: ["PATH": "/usr/bin:/bin"],
                log: directory.path + "/output.log")
        } isReady: {
            (try? Sockets.connect(port: $0[0])) != nil
        }
        port = started.ports[0]
        service = started.service
    }

    package var log: String { instance.log }

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
