import Glibc
import Posix

/// nginx in the foreground, with the configuration that is shipped, before a responder.
package final class Nginx: Sendable {
    package let port: UInt16
    private let directory: TemporaryDirectory
    private let service: Service

    /// Who may push.
    package static let passwords = ["alice": "wonderland", "bob": "builder"]

    /// The configuration file under test.
    private static let shipped: String = {
        let here = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return "/\(here)/nginx/git-s3-backend.conf"
    }()

    /// Starts nginx and waits until it accepts connections.
    package init(before responder: Responder) throws {
        let program = try Programs.find("nginx", remedy: "apt install nginx-light")
        directory = try TemporaryDirectory()
        try directory.file("git-s3-backend.htpasswd", try Self.passwordFile())

        // The port may be taken between being found free and being bound: then the next one.
        var attempt = 1
        while true {
            let port = try Sockets.freePort()
            try directory.file("nginx.conf", Self.configuration(port, responder.socket, directory))
            let service = try Service(
                program,
                [
                    "-p", directory.path, "-c", directory.path + "/nginx.conf",
                    "-e", directory.path + "/error.log", "-g", "daemon off;",
                ],
                environment: ["PATH": "/usr/bin:/bin"], log: directory.path + "/output.log")
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

    /// nginx's error log so far.
    package var log: String {
        String(decoding: (try? Files.read(directory.path + "/error.log")) ?? [], as: UTF8.self)
    }

    package var client: HTTPClient { HTTPClient(port: port) }

    private static func passwordFile() throws -> String {
        let openssl = try Programs.find("openssl", remedy: "apt install openssl")
        return try passwords.map { user, password in
            let hash = try Command(openssl, ["passwd", "-apr1", password]).run().checked().text
            return "\(user):\(hash)"
        }.joined()
    }

    private static func configuration(
        _ port: UInt16, _ socket: String, _ directory: TemporaryDirectory
    ) -> String {
        """
        # Without it, root's nginx gives its workers to a user that cannot reach the socket.
        \(geteuid() == 0 ? "user root;" : "")
        worker_processes 1;
        pid nginx.pid;
        events { worker_connections 512; }
        http {
            access_log off;
            client_body_temp_path \(directory.path)/body;
            fastcgi_temp_path \(directory.path)/fastcgi;
            proxy_temp_path \(directory.path)/proxy;
            scgi_temp_path \(directory.path)/scgi;
            uwsgi_temp_path \(directory.path)/uwsgi;
            upstream git_s3_backend { server unix:\(socket); }
            server {
                listen 127.0.0.1:\(port);
                include \(shipped);
            }
        }

        """
    }
}
