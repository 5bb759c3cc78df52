import ArgumentParser
import Git
import Glibc
import ObjectStore
import Posix
import S3Store

/// The store, and the directory for local state.
struct StoreOptions: ParsableArguments {
    @Option(help: "URL of the store: file:///path or s3://bucket/prefix.")
    var store: String?

    @Option(
        help: ArgumentHelp(
            "Directory for the cache and temporary repositories.",
            discussion: "By default $STATE_DIRECTORY, $XDG_CACHE_HOME/git-s3-backend, or a "
                + "directory of this user in /var/tmp."))
    var stateDir: String?

    @Flag(help: "Allow a state directory that other users own or can write to.")
    var allowSharedStateDir = false

    /// Opens the store; sends nothing.
    ///
    /// - Parameter warn: called with the location of a store that is reached without encryption.
    func open(
        _ environment: [String: String], warn: (String) -> Void = Self.warnOfExposure
    ) throws -> any ObjectStore {
        guard let setting = Setting(option: store, "store", in: environment) else {
            throw ValidationError(Self.noStore(environment))
        }
        do {
            if setting.text.hasPrefix("s3://") {
                let store = try S3Store(location: setting.text, environment: environment)
                if store.isExposed { warn(store.location) }
                return store
            }
            if setting.text.hasPrefix("file://") {
                return try FileStore(location: setting.text)
            }
        } catch {
            // Nothing was sent, so the settings are wrong.
            throw ValidationError("\(error)")
        }
        throw ValidationError(
            "Invalid value '\(setting.text)' for \(setting.source): expected file:///path or "
                + "s3://bucket/prefix.")
    }

    static func warnOfExposure(_ location: String) {
        Failure.say(
            "warning: the connection to '\(location)' is not encrypted: anyone on the network "
                + "path can read and change the stored data. Use an https:// endpoint.")
    }

    /// The error if no store is specified.
    ///
    /// A site that migrates from `git http-backend` has the variable of that set.
    static func noStore(_ environment: [String: String]) -> String {
        let remedy =
            "No store specified. Add --store file:///path or --store s3://bucket/prefix, or set "
            + "GIT_S3_BACKEND_STORE."
        guard environment["GIT_PROJECT_ROOT"] != nil else { return remedy }
        return remedy + " GIT_PROJECT_ROOT is for git http-backend; this program ignores it, as "
            + "its repositories are in the store."
    }

    /// The state directory's path. Creates the directory; other users must not be able to write to
    /// it, unless that is allowed.
    func statePath(_ environment: [String: String]) throws -> String {
        let path = try stateLocation(environment)
        // If this fails, the first use of the directory reports it.
        try? Files.makeDirectories(path)
        let allowed = Setting(option: nil, "allow-shared-state-dir", in: environment)
        if try allowSharedStateDir || allowed?.flag() == true { return path }
        // A missing directory and an unreadable one are treated alike.
        guard let isPrivate = try? StateDirectory.isPrivate(path), !isPrivate else { return path }
        throw ValidationError(
            "Other users own the state directory '\(path)' or can write to it, and could change "
                + "what is served. Run 'chown' and 'chmod go-w' on it, or add "
                + "--allow-shared-state-dir (GIT_S3_BACKEND_ALLOW_SHARED_STATE_DIR=yes).")
    }

    private func stateLocation(_ environment: [String: String]) throws -> String {
        if let setting = Setting(option: stateDir, "state-dir", in: environment) {
            return try Self.absolute(setting.text)
        }
        // systemd separates several directories by colons; the first one is the unit's own.
        if let directory = environment["STATE_DIRECTORY"]?.split(separator: ":").first {
            return String(directory)
        }
        if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") {
            return cache + "/git-s3-backend"
        }
        return try Self.perUserDirectory()
    }

    /// git runs in its own workspaces, where a relative path would lead elsewhere.
    private static func absolute(_ path: String) throws -> String {
        if path.hasPrefix("/") { return path }
        guard let current = getcwd(nil, 0) else { throw SystemError("getcwd") }
        defer { free(current) }

        return String(cString: current) + "/" + path
    }

    /// Anyone can write to `/var/tmp`, so a directory there must belong to this user alone.
    private static func perUserDirectory() throws -> String {
        let path = "/var/tmp/git-s3-backend-\(getuid())"
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw SystemError("mkdir", path) }
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
            status.st_uid == getuid(), status.st_mode & 0o022 == 0
        else {
            throw ValidationError(
                "'\(path)' is not a directory that only this user can write to. Specify another "
                    + "one with --state-dir.")
        }
        return path
    }
}
