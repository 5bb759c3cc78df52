import Foundation
import Glibc
import Posix

/// Apache in the foreground, with the configuration that is shipped.
package final class Apache: Sendable {
    package let port: UInt16
    private let directory: TemporaryDirectory
    private let service: Service

    /// How Apache has requests answered.
    package enum Way: Sendable {
        /// By mod_proxy_fcgi, from an instance's socket.
        case proxy(socket: String)
        /// By responders of mod_fcgid, with these variables.
        case fcgid([String: String])
        /// By mod_cgid, under a server of threads.
        case cgid([String: String])
        /// By mod_cgi, under a server of processes.
        case cgi([String: String])

        /// The shipped configuration's file.
        fileprivate var file: String {
            switch self {
            case .proxy: "git-s3-backend-proxy.conf"
            case .fcgid: "git-s3-backend-fcgid.conf"
            case .cgid, .cgi: "git-s3-backend-cgi.conf"
            }
        }

        fileprivate var modules: [String] {
            switch self {
            case .proxy: ["mpm_event", "proxy", "proxy_fcgi"]
            case .fcgid: ["mpm_event", "fcgid"]
            case .cgid: ["mpm_event", "cgid"]
            case .cgi: ["mpm_prefork", "cgi"]
            }
        }

        /// The settings as they stand in the virtual host.
        fileprivate var settings: String {
            switch self {
            case .proxy: ""
            case .fcgid(let variables): Self.lines("FcgidInitialEnv", variables)
            case .cgid(let variables), .cgi(let variables): Self.lines("SetEnv", variables)
            }
        }

        private static func lines(_ directive: String, _ variables: [String: String]) -> String {
            variables.map { "\(directive) \($0.key) \"\($0.value)\"" }.joined(separator: "\n")
        }
    }

    private static let modules = "/usr/lib/apache2/modules"

    /// Those of Debian's default that bear on a request, and what the shipped files want.
    private static let commonModules = [
        "authn_core", "authn_file", "authz_core", "authz_host", "authz_user", "auth_basic",
        "access_compat", "alias", "deflate", "dir", "env", "filter", "mime", "negotiation",
        "headers", "http2", "reqtimeout", "setenvif", "ssl",
    ]

    /// Starts Apache and waits until it accepts connections.
    ///
    /// - Parameters:
    ///   - program: what Apache starts, where it does.
    ///   - certificate: then it speaks TLS, and HTTP/2 where the site is not the shipped one, which
    ///     is for ``Way/proxy(socket:)``.
    ///   - added: directives of an operator, for the virtual host.
    package init(
        _ way: Way, program: String, account: Account?, certificate: Certificate? = nil,
        added: String = ""
    ) throws {
        let apache = try Programs.find("apache2", remedy: "apt install apache2")
        let fcgid = Self.modules + "/mod_fcgid.so"
        if case .fcgid = way, access(fcgid, F_OK) != 0 {
            throw TestFailure("There is no '\(fcgid)'. apt install libapache2-mod-fcgid")
        }
        let directory = try TemporaryDirectory()
        self.directory = directory
        for name in try Files.names(in: Self.shipped) where name.hasSuffix(".conf") {
            let target = "\(directory.path)/\(name)"
            if symlink("\(Self.shipped)/\(name)", target) != 0 {
                throw SystemError("symlink", target)
            }
        }
        try directory.file("git-s3-backend.htpasswd", try Nginx.passwordFile())
        let host = try Self.host(way, certificate, added)
        let run = try directory.directory("run")
        if let account {
            try account.give(run)
            try account.give(directory.path)
        }

        let started = try Service.start { ports in
            try directory.file(
                "apache2.conf",
                Self.configuration(way, ports[0], directory.path, program, account, host))
            return try Service(
                apache,
                [
                    "-D", "FOREGROUND", "-d", directory.path, "-f",
                    directory.path + "/apache2.conf",
                ],
                environment: ["PATH": "/usr/bin:/bin"], log: directory.path + "/output.log")
        } isReady: {
            // It listens before it knows whether it will serve.
            Self.answers($0[0])
        }
        port = started.ports[0]
        service = started.service
    }

    private static func answers(_ port: UInt16) -> Bool {
        // In the clear, a server of TLS says 400.
        (try? HTTPClient(port: port).send("GET", "/")) != nil
    }

    deinit {
        // Apache ends its programs, and they their git's, which are of other process groups.
        service.signal(SIGTERM)
        _ = try? service.waitForEnd(upTo: .seconds(20))
    }

    /// Apache's error log so far, and what its programs have said.
    package var log: String {
        let errors = (try? Files.read(directory.path + "/error.log")) ?? []
        return service.log + String(decoding: errors, as: UTF8.self)
    }

    /// Bytes of files that it keeps.
    package func bytesOnDisk() throws -> Int { try service.bytesOnDisk(in: directory.path) }

    /// A graceful restart: what runs may finish. httpd(8), `graceful`.
    package func reload() { service.signal(SIGUSR1) }

    /// A restart that cuts off what runs. httpd(8), `restart`.
    package func restart() { service.signal(SIGHUP) }

    private static let shipped = Documentation.root + "/apache"

    private static func configuration(
        _ way: Way, _ port: UInt16, _ directory: String, _ program: String, _ account: Account?,
        _ host: String
    ) -> String {
        let load = (way.modules + commonModules).map {
            "LoadModule \($0)_module \(modules)/mod_\($0).so"
        }.joined(separator: "\n")
        var socket = "/nonexistent"
        if case .proxy(let path) = way { socket = path }
        return """
            \(load)
            \(account.map { "User \($0.name)\nGroup \($0.groupName)" } ?? "")
            ServerRoot \(directory)
            ServerName localhost
            DefaultRuntimeDir \(directory)/run
            PidFile \(directory)/run/pid
            Listen 127.0.0.1:\(port)
            ErrorLog \(directory)/error.log
            LogLevel warn
            TypesConfig /dev/null
            # As Debian has it, only with less patience: what is shipped must hold its own.
            Timeout 2
            <IfModule mod_reqtimeout.c>
                RequestReadTimeout header=20-40,minrate=500
                RequestReadTimeout body=1,minrate=500
            </IfModule>
            <IfModule mod_cgid.c>
                ScriptSock \(directory)/run/cgid
            </IfModule>
            <IfModule mod_fcgid.c>
                FcgidIPCDir \(directory)/run
                FcgidProcessTableFile \(directory)/run/fcgid
            </IfModule>
            <Directory />
                Options FollowSymLinks
                AllowOverride None
                Require all denied
            </Directory>
            Define GIT_S3_BACKEND_SOCKET \(socket)
            Define GIT_S3_BACKEND_PROGRAM \(program)
            \(host.replacing("*:443", with: "127.0.0.1:\(port)"))

            """
    }

    /// The virtual host, on `*:443`.
    private static func host(
        _ way: Way, _ certificate: Certificate?, _ added: String
    ) throws -> String {
        if case .proxy = way, let certificate { return try site(with: certificate) }
        let tls = certificate.map {
            """
            Protocols h2 http/1.1
                SSLEngine on
                SSLCertificateFile \($0.file)
                SSLCertificateKeyFile \($0.key)
            """
        }
        return """
            <VirtualHost *:443>
                \(tls ?? "")
                \(way.settings)
                Include \(way.file)
                \(added)
            </VirtualHost>
            """
    }

    /// The shipped site, with another certificate.
    private static func site(with certificate: Certificate) throws -> String {
        var text = String(
            decoding: try Files.read(shipped + "/git-s3-backend-site.conf"), as: UTF8.self)
        let path = "/etc/letsencrypt/live/git.example.org"
        for (name, own) in [
            ("\(path)/fullchain.pem", certificate.file), ("\(path)/privkey.pem", certificate.key),
            ("git.example.org", "127.0.0.1"),
        ] {
            guard text.contains(name) else { throw TestFailure("The site has no '\(name)'.") }
            text = text.replacing(name, with: own)
        }
        return text
    }
}
