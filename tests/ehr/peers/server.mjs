// An OpenID provider that others wrote. It knows one client and one clinician and says yes, for nobody sits before it.
// Arguments: port, client_id, redirect_uri, and the FHIR base on which the clinician is known. It prints one line of JSON when it listens.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [port, clientId, redirectUri, fhirBase] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const key = { ...generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey.export({ format: "jwk" }), kid: "peer-1", alg: "ES384", use: "sig" };

const provider = new Provider(issuer, {
  clients: [{
    client_id: clientId,
    redirect_uris: [redirectUri],
    grant_types: ["authorization_code"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
    id_token_signed_response_alg: "ES384",
  }],
  jwks: { keys: [key] },
  enabledJWA: { idTokenSigningAlgValues: ["ES384"] },
  pkce: { required: () => true },
  scopes: ["openid", "fhirUser"],
  claims: { openid: ["sub"], fhirUser: ["fhirUser"] },
  conformIdTokenClaims: false, // the claims stand in the id_token itself, as SMART wants fhirUser
  cookies: { keys: ["for tests on loopback only"] },
  features: { devInteractions: { enabled: false } },
  ttl: { Interaction: 60, Session: 60, Grant: 60, AccessToken: 60, AuthorizationCode: 60, IdToken: 300 },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, fhirUser: `${fhirBase}/Practitioner/${sub}` }) }),
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope([...ctx.oidc.requestParamScopes].join(" "));
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  return provider.interactionFinished(request, response, { login: { accountId: "peer-clinician" } }).catch(() => {
    response.statusCode = 400;
    response.end();
  });
}).listen(Number(port), "127.0.0.1", () => console.log(JSON.stringify({ issuer })));
