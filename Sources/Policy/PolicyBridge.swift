package import Bridge
package import GitProtocol
package import ObjectStore
package import Posix
import Push

/// The server's end of the bridge: answers the pre-receive hook of one push by the rule.
package struct PolicyBridge: PreReceiveBridge {
    private let rule: AccessRule
    private let repository: RepositoryName
    private let requester: Requester
    /// The updates that the request contains: no others are allowed.
    private let asked: Set<RefUpdate>

    package init(
        rule: AccessRule, repository: RepositoryName, requester: Requester, asked: [RefUpdate]
    ) {
        self.rule = rule
        self.repository = repository
        self.requester = requester
        self.asked = Set(asked)
    }

    package func serve(_ channel: consuming OwnedDescriptor) -> [RefUpdate]? {
        let channel = BridgeChannel(channel)
        // If the channel fails or ends, nothing is allowed.
        guard let question = try? channel.receive(), question.kind == .question else { return nil }
        let (word, allowed) = answer(question.bytes)
        do {
            try channel.send(word)
        } catch {
            return nil
        }
        return allowed
    }

    /// Answers the hook's question.
    ///
    /// - Parameter input: the hook's standard input.
    /// - Returns: the answer, and the updates that it allows; nil if it refuses them.
    package func answer(_ input: [UInt8]) -> (BridgeChannel.Word, allowed: [RefUpdate]?) {
        var updates: [RefUpdate] = []
        for line in input.split(separator: UInt8(ascii: "\n")) {
            guard let update = RefUpdate(line: line), asked.contains(update) else {
                return (Self.deny("git asked about an update that the push did not"), nil)
            }
            updates.append(update)
        }
        if updates.isEmpty { return (Self.deny("git asked about no update"), nil) }
        switch rule.updates(updates, of: repository, by: requester) {
        case .allow: return (BridgeChannel.Word(.allow, []), updates)
        case .deny(let reason): return (Self.deny(reason), nil)
        }
    }

    private static func deny(_ reason: String) -> BridgeChannel.Word {
        BridgeChannel.Word(.deny, Array("\(reason)\n".utf8))
    }
}
