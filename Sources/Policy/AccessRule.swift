package import GitProtocol
package import ObjectStore

/// Who is asking, as the web server says.
package struct Requester: Hashable, Sendable {
    /// `REMOTE_USER`; nil: nobody was asked for a password.
    package let user: String?

    package init(user: String?) {
        self.user = user.flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// What a rule says of something.
package enum Verdict: Equatable, Sendable {
    case allow
    /// With the reason, for the one who asked.
    case deny(String)
}

/// The default rule: anyone may read, a known user may write.
///
/// What the web server should not show to everybody it must not pass on.
package struct AccessRule: Sendable {
    package init() {}

    /// Whether a repository may be fetched from.
    package func read(_ repository: RepositoryName, by requester: Requester) -> Verdict {
        .allow
    }

    /// Whether a repository may be pushed to at all.
    package func write(_ repository: RepositoryName, by requester: Requester) -> Verdict {
        requester.user == nil ? .deny("Pushing needs a user name and a password.") : .allow
    }

    /// Whether these updates may be made, git having accepted their objects.
    package func updates(
        _ updates: [RefUpdate], of repository: RepositoryName, by requester: Requester
    ) -> Verdict {
        write(repository, by: requester)
    }
}
