import Glibc
import ObjectStore
import Posix
import Synchronization

/// The AWS tools' shared files: `~/.aws/credentials` and `~/.aws/config`.
struct SharedFiles: Sendable {
    /// nil if there is no home directory.
    let credentialsPath: String?
    private let credentials: ProfileFile?
    private let configuration: ProfileFile?

    init(environment: [String: String]) {
        let home = environment.setting("HOME").map { $0 + "/.aws" }
        credentialsPath =
            environment.setting("AWS_SHARED_CREDENTIALS_FILE") ?? home.map { $0 + "/credentials" }
        credentials = credentialsPath.map(ProfileFile.init)
        configuration =
            (environment.setting("AWS_CONFIG_FILE") ?? home.map { $0 + "/config" })
            .map(ProfileFile.init)
    }

    /// The settings of a profile in the configuration file; empty if it has none.
    func settings(of profile: S3Location.ProfileChoice) throws(StoreError) -> [String: String] {
        try section(of: profile, in: configuration) ?? [:]
    }

    /// The sections that may contain the credentials of a profile, in order of precedence.
    func credentialSections(
        of profile: S3Location.ProfileChoice
    ) throws(StoreError) -> [[String: String]] {
        [try credentials?.sections()[profile.name], try section(of: profile, in: configuration)]
            .compactMap { $0 }
    }

    /// The name of a profile's section in the configuration file: `profile …`, except for the
    /// default.
    private func section(
        of profile: S3Location.ProfileChoice, in file: ProfileFile?
    ) throws(StoreError) -> [String: String]? {
        guard let sections = try file?.sections() else { return nil }
        let named = sections["profile \(profile.name)"]
        return profile.name == "default" ? sections["default"] ?? named : named
    }
}

/// A file of profiles, which is read again whenever it has changed.
final class ProfileFile: Sendable {
    private let path: String
    private let state = Mutex<State?>(nil)

    private struct State {
        let version: Version
        let sections: [String: [String: String]]
    }

    /// The attributes that change when a file is rewritten or replaced.
    private struct Version: Equatable {
        let inode: UInt
        let size: Int
        let seconds: Int
        let nanoseconds: Int
    }

    init(_ path: String) { self.path = path }

    /// The sections by name; empty if the file does not exist.
    func sections() throws(StoreError) -> [String: [String: String]] {
        guard let version = try currentVersion() else { return [:] }
        if let known = state.withLock({ $0 }), known.version == version { return known.sections }

        let bytes: [UInt8]
        do {
            bytes = try Files.read(path, limit: 1 << 20)
        } catch {
            throw unreadable(error)
        }
        let sections = parseProfiles(String(decoding: bytes, as: UTF8.self))
        state.withLock { $0 = State(version: version, sections: sections) }
        return sections
    }

    private func currentVersion() throws(StoreError) -> Version? {
        var status = stat()
        if stat(path, &status) == 0 {
            return Version(
                inode: UInt(status.st_ino), size: status.st_size, seconds: status.st_mtim.tv_sec,
                nanoseconds: status.st_mtim.tv_nsec)
        }
        if errno == ENOENT || errno == ENOTDIR { return nil }
        throw unreadable(SystemError("stat", path))
    }

    private func unreadable(_ error: SystemError) -> StoreError {
        .misconfigured("The AWS settings cannot be read: \(error).")
    }
}

/// Parses `[section]` and `name = value` lines. Comments begin with `#` or `;`. Indented lines are
/// nested settings of the line above and are ignored.
func parseProfiles(_ text: String) -> [String: [String: String]] {
    var sections: [String: [String: String]] = [:]
    var section: String?
    for line in text.split(whereSeparator: \.isNewline) {
        guard let first = line.first, first != "#", first != ";", !first.isWhitespace else {
            continue
        }
        if first == "[" {
            section = line.dropFirst().firstIndex(of: "]")
                .map { collapsed(line[line.index(after: line.startIndex)..<$0]) }
            if let section { sections[section, default: [:]] = sections[section] ?? [:] }
        } else if let section, let equals = line.firstIndex(of: "=") {
            let name = collapsed(line[..<equals])
            sections[section]?[name] = trimmed(line[line.index(after: equals)...])
        }
    }
    return sections
}

private func collapsed(_ text: Substring) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
}

private func trimmed(_ text: Substring) -> String {
    var text = text.drop(while: \.isWhitespace)
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
}
