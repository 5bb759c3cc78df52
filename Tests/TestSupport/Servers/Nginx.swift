import Glibc
import Posix

/// nginx in the foreground, with the configuration that is shipped, before whatever answers.
package final class Nginx: Sendable {
    package let port: UInt16
    private let directory: TemporaryDirectory
    private let service: Service

    /// A user who may push.
    package static let passwords = ["alice": "wonderland", "bob": "builder"]

    /// The program behind nginx.
    package enum Upstream: Sendable {
        /// A FastCGI server on a Unix socket.
        case fastCGI(socket: String)
        /// The first, and the second while the first cannot be reached.
        case pair(socket: String, backup: String)
        /// A program that fcgiwrap, on a Unix socket, starts for each request.
        case cgi(FCGIWrap, program: String)

        fileprivate var socket: String {
            switch self {
            case .fastCGI(let socket), .pair(let socket, _): socket
            case .cgi(let wrapper, _): wrapper.socket
            }
        }

        fileprivate var servers: String {
            guard case .pair(let socket, let backup) = self else { return "server unix:\(socket);" }
            return "server unix:\(socket); server unix:\(backup) backup;"
        }
    }

    /// The configuration files under test.
    private static let directory = Documentation.root + "/nginx"
    private static let shipped = directory + "/git-s3-backend.conf"

    /// The configuration for `upstream`: the shipped file itself, or, since fcgiwrap needs
    /// the path of the program, a copy with that added.
    private static func location(
        _ upstream: Upstream, _ directory: TemporaryDirectory
    ) throws -> String {
        guard case .cgi(_, let program) = upstream else { return shipped }
        let pass = "fastcgi_pass git_s3_backend;"
        let text = String(decoding: try Files.read(shipped), as: UTF8.self)
        guard let start = text.firstRange(of: pass) else {
            throw TestFailure("'\(shipped)' has no '\(pass)'")
        }
        // The location of pushes inherits them.
        let added = """
            \(pass)
                fastcgi_param SCRIPT_FILENAME \(program);
                # Else fcgiwrap holds an answer back that is made slowly.
                fastcgi_param NO_BUFFERING 1;
            """
        return try directory.file(
            "git-s3-backend.conf", text[..<start.lowerBound] + added + text[start.upperBound...])
    }

    /// Starts nginx before an instance.
    package convenience init(before instance: ServerProcess) throws {
        try self.init(before: .fastCGI(socket: instance.socket))
    }

    /// Starts nginx and waits until it accepts connections.
    ///
    /// - Parameters:
    ///   - certificate: then it speaks TLS, and HTTP/2 with clients that want it.
    ///   - isSite: whether the server around the location is the shipped one, too.
    ///   - added: directives of an operator, for the location.
    package init(
        before upstream: Upstream, certificate: Certificate? = nil, isSite: Bool = false,
        added: String = ""
    ) throws {
        let program = try Programs.find("nginx", remedy: "apt install nginx-light")
        let directory = try TemporaryDirectory()
        self.directory = directory
        try directory.file("git-s3-backend.htpasswd", try Self.passwordFile())
        if !added.isEmpty {
            let place = try directory.directory("git-s3-backend.d")
            try Files.write(Array(added.utf8), to: place + "/own.conf")
        }
        let location = try Self.location(upstream, directory)
        let site = isSite ? try Self.site(upstream, certificate, directory.path) : nil

        let started = try Service.start { ports in
            try directory.file(
                "nginx.conf",
                Self.configuration(ports[0], upstream, location, directory, certificate, site))
            return try Service(
                program,
                [
                    "-p", directory.path, "-c", directory.path + "/nginx.conf",
                    "-e", directory.path + "/error.log", "-g", "daemon off;",
                ],
                environment: ["PATH": "/usr/bin:/bin"], log: directory.path + "/output.log")
        } isReady: {
            (try? Sockets.connect(port: $0[0])) != nil
        }
        port = started.ports[0]
        service = started.service
    }

    /// nginx's error log so far.
    package var log: String {
        String(decoding: (try? Files.read(directory.path + "/error.log")) ?? [], as: UTF8.self)
    }

    /// Bytes of files that it keeps.
    package func bytesOnDisk() throws -> Int { try service.bytesOnDisk(in: directory.path) }

    package var client: HTTPClient { HTTPClient(port: port) }

    /// Reads its configuration again, with new workers; the old ones finish what runs. nginx(8).
    package func reload() { service.signal(SIGHUP) }

    static func passwordFile() throws -> String {
        let openssl = try Programs.find("openssl", remedy: "apt install openssl")
        return try passwords.map { user, password in
            let hash = try Command(openssl, ["passwd", "-apr1", password]).run().checked().text
            return "\(user):\(hash)"
        }.joined()
    }

    private static func configuration(
        _ port: UInt16, _ upstream: Upstream, _ location: String, _ directory: TemporaryDirectory,
        _ certificate: Certificate?, _ site: String?
    ) -> String {
        let tls =
            certificate.map { "ssl_certificate \($0.file); ssl_certificate_key \($0.key);" } ?? ""
        let server = """
            upstream git_s3_backend { \(upstream.servers) }
            server {
                listen 127.0.0.1:\(port)\(certificate == nil ? "" : " ssl http2");
                \(tls)
                include \(location);
            }
            """
        return """
            # Without it, root's nginx gives its workers to a user that cannot reach the socket.
            \(geteuid() == 0 ? "user root;" : "")
            worker_processes 1;
            pid nginx.pid;
            events { worker_connections 512; }
            http {
                access_log off;
                # What is delayed is logged, too.
                error_log \(directory.path)/error.log warn;
                client_body_temp_path \(directory.path)/body;
                fastcgi_temp_path \(directory.path)/fastcgi;
                proxy_temp_path \(directory.path)/proxy;
                scgi_temp_path \(directory.path)/scgi;
                uwsgi_temp_path \(directory.path)/uwsgi;
                \(site?.replacing("127.0.0.1:443", with: "127.0.0.1:\(port)") ?? server)
            }

            """
    }

    /// The shipped site on 127.0.0.1:443; in the clear without a certificate.
    private static func site(
        _ upstream: Upstream, _ certificate: Certificate?, _ scratch: String
    ) throws -> String {
        var text = String(
            decoding: try Files.read(directory + "/git-s3-backend-site.conf"), as: UTF8.self)
        let live = "/etc/letsencrypt/live/git.example.org"
        let keys =
            "ssl_certificate     \(live)/fullchain.pem;\n    ssl_certificate_key \(live)/privkey.pem;"
        let own = certificate.map {
            "ssl_certificate \($0.file);\n    ssl_certificate_key \($0.key);"
        }
        for (part, replacement) in [
            ("server unix:/run/git-s3-backend.sock;", upstream.servers),
            (keys, own ?? ""),
            ("/etc/nginx/git-s3-backend.conf", shipped),
            // The server that only says where the other one is.
            ("listen 80;\n    listen [::]:80;", "listen unix:\(scratch)/redirection;"),
            (
                "listen 443 ssl http2;\n    listen [::]:443 ssl http2;",
                "listen 127.0.0.1:443\(certificate == nil ? "" : " ssl http2");"
            ),
        ] {
            guard text.contains(part) else { throw TestFailure("The site has no '\(part)'.") }
            text = text.replacing(part, with: replacement)
        }
        return text
    }
}
