import Posix

/// Apache, and the program behind it in one of the three ways.
package final class ApacheSite: BackendHost {
    package let setup: Responder.Setup
    package let apache: Apache
    private let account: Account?
    private let responder: Responder?
    private let program: String
    private let state: TemporaryDirectory

    /// How the program is run.
    package enum Kind: Sendable { case proxy, fcgid, cgid, cgi }

    /// - Parameter setup: its options must be empty but for ``Kind/proxy``.
    package init(_ kind: Kind, _ setup: Responder.Setup, certificate: Certificate? = nil) throws {
        guard kind == .proxy || setup.options.isEmpty else {
            throw TestFailure("What Apache starts takes no options.")
        }
        var setup = setup
        state = try setup.state ?? TemporaryDirectory()
        setup.state = state
        // A responder behind a socket runs as whoever starts it.
        account = kind == .proxy ? nil : try Account.ofWebServers()
        program =
            try setup.program
            ?? (account == nil ? Programs.responder() : Account.program())
        self.setup = setup
        if setup.admission == .given, kind != .proxy {
            try setup.bucket.admit(in: state.path, through: setup.proxy)
        }
        if let account {
            try account.give(state.path)
            if setup.storeURL.hasPrefix("file://") {
                try account.give(String(setup.storeURL.dropFirst("file://".count)))
            }
        }
        let variables = Responder.environment(setup).merging([
            "GIT_S3_BACKEND_STORE": setup.storeURL, "GIT_S3_BACKEND_STATE_DIR": state.path,
        ]) { $1 }
        let way: Apache.Way
        switch kind {
        case .proxy:
            // Apache's children are another user.
            if let group = try Account.ofWebServers()?.groupName {
                setup.options += ["--listen-group", group]
            }
            let responder = try Responder(setup)
            self.responder = responder
            way = .proxy(socket: responder.socket)
            try responder.letOthersConnect()
        case .fcgid:
            responder = nil
            way = .fcgid(variables)
        case .cgid:
            responder = nil
            way = .cgid(variables)
        case .cgi:
            responder = nil
            way = .cgi(variables)
        }
        apache = try Apache(
            way, program: program, account: try Account.ofWebServers(), certificate: certificate,
            added: setup.serverConfiguration)
    }

    package var port: UInt16 { apache.port }

    /// What the program has logged so far.
    package var log: String { responder?.log ?? apache.log }

    package func reload() { apache.reload() }

    package func bytesOnDisk() throws -> Int { try apache.bytesOnDisk() }

    /// As the user whose the store is.
    package func command(_ name: String, _ arguments: [String]) throws -> CommandResult {
        let words = [name, "--store", setup.storeURL, "--state-dir", state.path] + arguments
        let (path, arguments) = try account?.commandLine(program, words) ?? (program, words)
        return try Command(
            path, arguments,
            environment: Responder.environment(setup).filter { $0.key != "GIT_S3_BACKEND_FAULT" }
        ).run()
    }
}
