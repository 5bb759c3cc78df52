import GitProtocol
import ObjectStore
import Policy
import Testing

/// The default rule.
@Suite struct AccessRuleTests {
    @Test func anyoneMayReadAndUsersMayWrite() throws {
        let name = try #require(RepositoryName("owner/repo"))
        let rule = AccessRule()
        for user in [nil, "", "somebody"] as [String?] {
            let requester = Requester(user: user)
            let isKnown = user == "somebody"
            #expect(rule.read(name, by: requester) == .allow)
            #expect((rule.write(name, by: requester) == .allow) == isKnown)
            #expect((rule.updates([], of: name, by: requester) == .allow) == isKnown)
        }
    }
}
