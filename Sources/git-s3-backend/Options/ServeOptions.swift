import ArgumentParser
import Gateway
import Git
import Glibc
import Maintenance

/// The requested checks of pushed objects, before git was asked whether it supports them.
struct PushCheckChoice {
    let level: PushObjectCheck.Level
    /// Messages of git-fsck(1).
    let accepted: [String]
}

/// The options for serving requests.
struct ServeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Address to listen on: unix:/path or host:port.",
            discussion: "By default the listening socket that is descriptor 0."))
    var listen: String?

    @Flag(help: "Allow --listen on a non-loopback address. FastCGI has no authentication.")
    var listenAnywhere = false

    @Option(
        help: ArgumentHelp(
            "Group of the socket that --listen unix:/path creates.",
            discussion:
                "By default the group of the process. Anyone who can connect can push as any "
                + "user."))
    var listenGroup: String?

    @Option(help: "Permissions of the socket that --listen unix:/path creates. (default: 0660)")
    var listenMode: String?

    @Option(
        help: ArgumentHelp(
            "Suffix in the URLs of repositories: git, none or both. (default: both)",
            discussion: "git serves only OWNER/REPO.git, none only OWNER/REPO."))
    var urlSuffix: String?

    @Option(
        help: ArgumentHelp(
            "Maximum size of the local cache; 0 disables it. (default: 10G)",
            discussion: "The least recently used packs are evicted first."))
    var cacheSize: String?

    @Option(
        help: ArgumentHelp(
            "Maximum size of answers and pushes on their way, on the disk. (default: 2560M)",
            discussion:
                "Up to this size git does not wait for slow clients. By default a quarter of "
                + "--cache-size."))
    var spoolSize: String?

    @Option(help: "Maximum number of concurrent requests. (default: 256)")
    var workers: String?

    @Option(help: "Maximum number of concurrent git processes. (default: 2 per core)")
    var maxGit: String?

    @Option(help: "Maximum size of a request body, such as 512M; 0 for no limit. (default: 0)")
    var maxBody: String?

    @Option(help: "Time limit for waiting until a git process is free. (default: 10m)")
    var queueTimeout: String?

    @Option(
        help: ArgumentHelp(
            "Time limit for git in one request. (default: 1h)",
            discussion: "The time in which git waits for the client does not count."))
    var gitTimeout: String?

    @Option(
        help: ArgumentHelp(
            "Give up a push after losing this many races. (default: 20)",
            discussion:
                "A push that loses a race is reapplied on top of the other one, unless both "
                + "change the same ref; 1 answers 409 at once."))
    var pushAttempts: String?

    @Option(
        help:
            "Send keep-alives to pushes that take longer than this; 0 disables them. (default: 5s)")
    var pushKeepalive: String?

    @Option(
        help: ArgumentHelp(
            "Compact a repository in the background once it has more packs than this; 0 "
                + "disables it. (default: 50)",
            discussion: "Each push checks the number. A CGI compacts nothing."))
    var compactAt: String?

    @Option(
        help: ArgumentHelp(
            "Read each published pack back and check it: on, off or auto. (default: auto)",
            discussion:
                "Once, in the background. auto does so if the S3 store does not check what it "
                + "is sent. A CGI verifies nothing.",
            valueName: "when"))
    var verifyUploads: String?

    @Option(
        help: ArgumentHelp(
            "Check pushed objects: strict, warn or off. (default: strict)",
            discussion: "strict refuses objects that git fsck complains about, warn only shows the "
                + "complaints to the pusher, off checks nothing, as git does by default."))
    var fsck: String?

    @Option(
        help: ArgumentHelp(
            "Accept pushed objects despite this message of git fsck; can be repeated.",
            discussion: "A message ID of git-fsck(1), such as zeroPaddedFilemode.",
            valueName: "message"))
    var fsckAccept: [String] = []

    @Flag(help: "Create repositories on first push.")
    var createOnPush = false

    /// The limits, from options and variables.
    func limits(_ environment: [String: String]) throws -> Responder.Limits {
        func setting(_ option: String?, _ name: String) -> Setting? {
            Setting(option: option, name, in: environment)
        }
        let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        return Responder.Limits(
            git: try setting(maxGit, "max-git")?.number(in: 1...10_000) ?? 2 * cores,
            body: try setting(maxBody, "max-body")?.bytes() ?? 0,
            queueTime: try setting(queueTimeout, "queue-timeout")?.duration() ?? .seconds(600),
            gitTime: try setting(gitTimeout, "git-timeout")?.duration() ?? .seconds(3600),
            spool: try setting(spoolSize, "spool-size")?.bytes() ?? cacheSize(environment) / 4,
            pushKeepAlive: try setting(pushKeepalive, "push-keepalive")?.duration() ?? .seconds(5),
            pushAttempts: try setting(pushAttempts, "push-attempts")?.number(in: 1...1000) ?? 20,
            missingRepository: try createOnPush || setting(nil, "create-on-push")?.flag() == true
                ? .creates : .isNotFound,
            urlSuffix: try setting(urlSuffix, "url-suffix")?.choice() ?? .both)
    }

    /// The requested checks of pushed objects.
    func pushCheck(_ environment: [String: String]) throws -> PushCheckChoice {
        PushCheckChoice(
            level: try Setting(option: fsck, "fsck", in: environment)?.choice() ?? .strict,
            accepted: try acceptedMessages(environment))
    }

    /// The options, or else the list in the variable.
    private func acceptedMessages(_ environment: [String: String]) throws -> [String] {
        let settings =
            fsckAccept.isEmpty
            ? [Setting(option: nil, "fsck-accept", in: environment)]
            : fsckAccept.map { Setting(option: $0, "fsck-accept", in: environment) }
        return try settings.compactMap { $0 }.flatMap { try $0.words() }
    }

    /// The maximum size of the local cache, in bytes.
    func cacheSize(_ environment: [String: String]) throws -> Int64 {
        try Setting(option: cacheSize, "cache-size", in: environment)?.bytes() ?? 10 << 30
    }

    /// The number of worker threads.
    func workerCount(_ environment: [String: String]) throws -> Int {
        try Setting(option: workers, "workers", in: environment)?.number(in: 1...10_000) ?? 256
    }

    /// The number of packs above which a repository is compacted; 0 disables compaction.
    func compactionThreshold(_ environment: [String: String]) throws -> Int {
        try Setting(option: compactAt, "compact-at", in: environment)?.number(in: 0...1_000_000)
            ?? 50
    }

    /// Whether published packs are read back.
    func verification(_ environment: [String: String]) throws -> UploadVerification {
        try Setting(option: verifyUploads, "verify-uploads", in: environment)?.choice() ?? .auto
    }

    /// The address to listen on.
    func address(_ environment: [String: String]) throws -> Listener.Address {
        guard let setting = Setting(option: listen, "listen", in: environment) else {
            try requireNoAccess(environment)
            if Listener.isInherited { return .inherited }
            throw ValidationError(
                "No socket to listen on: descriptor 0 is not a listening socket. Add --listen "
                    + "unix:/path or --listen 127.0.0.1:9000.")
        }
        if setting.text.hasPrefix("unix:") {
            let path = String(setting.text.dropFirst("unix:".count))
            if path.hasPrefix("/") { return .unix(path, try access(environment)) }
        } else if let colon = setting.text.lastIndex(of: ":") {
            let host = String(setting.text[..<colon])
            let port = String(setting.text[setting.text.index(after: colon)...])
            if !host.isEmpty, UInt16(port) != nil {
                try requireLoopback(host, environment)
                try requireNoAccess(environment)
                return .tcp(host: host, port: port)
            }
        }
        throw ValidationError(
            "Invalid value '\(setting.text)' for \(setting.source): expected unix:/path or "
                + "host:port.")
    }

    private func groupSetting(_ environment: [String: String]) -> Setting? {
        Setting(option: listenGroup, "listen-group", in: environment)
    }

    private func modeSetting(_ environment: [String: String]) -> Setting? {
        Setting(option: listenMode, "listen-mode", in: environment)
    }

    private func access(_ environment: [String: String]) throws -> SocketAccess {
        var access = SocketAccess()
        if let mode = try modeSetting(environment)?.mode() { access.mode = mode }
        guard let setting = groupSetting(environment) else { return access }
        guard let group = SocketAccess.findGroup(setting.text) else {
            throw ValidationError(
                "Group '\(setting.text)' of \(setting.source) does not exist. Create it, or "
                    + "specify another one.")
        }
        access.group = group
        return access
    }

    /// Refuses permissions for a port, or for a socket that another program created, since this
    /// program cannot set them: an option without effect would look like protection.
    private func requireNoAccess(_ environment: [String: String]) throws {
        guard let setting = groupSetting(environment) ?? modeSetting(environment) else { return }
        throw ValidationError("\(setting.source) applies only to --listen unix:/path.")
    }

    private func requireLoopback(_ host: String, _ environment: [String: String]) throws {
        let anywhere = Setting(option: nil, "listen-anywhere", in: environment)
        if try Listener.isLoopback(host) || listenAnywhere || anywhere?.flag() == true { return }
        throw ValidationError(
            "'\(host)' is reachable from other machines, and FastCGI has no authentication: "
                + "anyone who can connect can push as any user. To listen there nevertheless, "
                + "add --listen-anywhere.")
    }
}
