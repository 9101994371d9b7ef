# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each of the ten services does: a few routes, all of them backed by the database."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

from aiohttp import web

from dating_app.database import Database
from dating_app.metrics import Metrics

#: Profiles that the data service keeps; older ones go, so that traffic can run for ever on a small disk.
PROFILES_KEPT = 5_000

#: Largest body of a request, and so of a photo, in bytes.
MAX_BODY_BYTES = 256 * 1024


@dataclass(frozen=True)
class Context:
    """What a handler works with."""

    database: Database
    metrics: Metrics
    log: logging.Logger


async def login(context: Context, request: web.Request) -> web.Response:
    """Begin a session; the user counts as active from now on."""
    profile = await _profile(context, (await _body(request, profile_id=int))["profile_id"])
    context.metrics.active_users.add(profile["id"])
    context.log.info("User logged in", extra={"user_id": profile["id"], "event_type": "login"})
    return web.json_response({"user_id": profile["id"]})


async def logout(context: Context, request: web.Request) -> web.Response:
    """End a session."""
    user = (await _body(request, profile_id=int))["profile_id"]
    context.metrics.active_users.remove(user)
    context.log.info("User logged out", extra={"user_id": user, "event_type": "logout"})
    return web.json_response({})


async def create_profile(context: Context, request: web.Request) -> web.Response:
    """Add a profile."""
    body = await _body(request, name=str, age=int)
    if not 18 <= body["age"] <= 120:
        raise web.HTTPBadRequest(text="age is a number from 18 to 120")
    profile = await context.database.create_profile(body["name"], body["age"])
    context.metrics.profiles_created.inc()
    context.log.info("User profile created", extra={"profile_id": profile, "event_type": "profile_created"})
    return web.json_response({"id": profile}, status=201)


async def get_profile(context: Context, request: web.Request) -> web.Response:
    """Show a profile."""
    return web.json_response(await _profile(context, _id(request)))


async def view_profile(context: Context, request: web.Request) -> web.Response:
    """Take a client's word for how many seconds it showed a profile."""
    profile = await _profile(context, _id(request))
    seconds = (await _body(request, seconds=float))["seconds"]
    if not 0 <= seconds <= 3600:
        raise web.HTTPBadRequest(text="seconds is a number from 0 to 3600")
    context.metrics.profile_view_duration.observe(seconds)
    return web.json_response({"profile_id": profile["id"]}, status=202)


async def discover(context: Context, request: web.Request) -> web.Response:
    """Propose profiles to a user."""
    profile = request.query.get("profile_id", "")
    if not (profile.isascii() and profile.isdigit() and len(profile) < 10):
        raise web.HTTPBadRequest(text="profile_id is the number of a profile")
    return web.json_response({"profiles": await context.database.discover(int(profile), limit=10)})


async def create_match(context: Context, request: web.Request) -> web.Response:
    """Match two users."""
    body = await _body(request, profile_id=int, other_id=int)
    one, other = body["profile_id"], body["other_id"]
    if one == other:
        raise web.HTTPBadRequest(text="profile_id and other_id are the same")
    match, created = await context.database.create_match(one, other)
    if created:
        context.metrics.matches_created.inc()
        context.log.info("Match created", extra={"match_id": match, "user_id": one, "event_type": "match_created"})
    return web.json_response({"id": match}, status=201 if created else 200)


async def put_photo(context: Context, request: web.Request) -> web.Response:
    """Take a photo. Only its size is kept."""
    profile, size = _id(request), len(await request.read())
    if not await context.database.store_photo(profile, size):
        raise web.HTTPNotFound(text="no such profile")
    context.log.info("Photo stored", extra={"profile_id": profile, "bytes": size, "event_type": "photo_stored"})
    return web.json_response({"bytes": size})


async def get_photo(context: Context, request: web.Request) -> web.Response:
    """Give as many bytes as the photo had."""
    profile = await _profile(context, _id(request))
    return web.Response(body=bytes(profile["photo_bytes"]), content_type="application/octet-stream")


async def create_message(context: Context, request: web.Request) -> web.Response:
    """Send a message within a match."""
    body = await _body(request, match_id=int, text=str)
    message = await context.database.create_message(body["match_id"], body["text"])
    context.log.info("Message sent", extra={"match_id": body["match_id"], "event_type": "message_sent"})
    return web.json_response({"id": message}, status=201)


async def list_messages(context: Context, request: web.Request) -> web.Response:
    """Show the newest messages of a match."""
    return web.json_response({"messages": await context.database.list_messages(_id(request), limit=50)})


async def notify(context: Context, request: web.Request) -> web.Response:
    """Accept a notification for a user."""
    profile = await _profile(context, (await _body(request, profile_id=int))["profile_id"])
    context.log.info("Notification queued", extra={"user_id": profile["id"], "event_type": "notification"})
    return web.json_response({"profile_id": profile["id"]}, status=202)


async def statistics(context: Context, _request: web.Request) -> web.Response:
    """Show the number of profiles, matches and messages."""
    return web.json_response(await context.database.statistics())


async def delete_profile(context: Context, request: web.Request) -> web.Response:
    """Remove a profile and all that belongs to it."""
    profile = _id(request)
    if not await context.database.delete_profile(profile):
        raise web.HTTPNotFound(text="no such profile")
    context.log.warning("Profile removed", extra={"profile_id": profile, "event_type": "profile_removed"})
    return web.Response(status=204)


async def clean_up(context: Context, _request: web.Request) -> web.Response:
    """Remove the oldest profiles above the number that is kept."""
    removed = await context.database.keep_newest(PROFILES_KEPT)
    context.log.info("Old profiles removed", extra={"removed": removed, "event_type": "clean_up"})
    return web.json_response({"removed": removed})


async def bot_update(context: Context, request: web.Request) -> web.Response:
    """Answer a message that someone sent to the bot."""
    text = (await _body(request, text=str))["text"]
    if text == "/start":
        return web.json_response({"reply": "Welcome!"})
    numbers = await context.database.statistics()
    return web.json_response({"reply": f"{numbers['profiles']} people are waiting for you."})


async def home_page(context: Context, _request: web.Request) -> web.Response:
    """Show the application's front page."""
    numbers = await context.database.statistics()
    return _page("Dating", f"{numbers['profiles']} profiles, {numbers['matches']} matches")


async def profile_page(context: Context, request: web.Request) -> web.Response:
    """Show a profile as a page."""
    profile = await _profile(context, _id(request))
    return _page(profile["name"], f"{profile['age']} years")


Handler = Callable[[Context, web.Request], Awaitable[web.StreamResponse]]

#: The number in a path fits PostgreSQL's integer.
ID = r"{id:\d{1,9}}"

SERVICES: dict[str, tuple[tuple[str, str, Handler], ...]] = {
    "auth-service": (("POST", "/login", login), ("POST", "/logout", logout)),
    "profile-service": (
        ("POST", "/profiles", create_profile),
        ("GET", f"/profiles/{ID}", get_profile),
        ("POST", f"/profiles/{ID}/views", view_profile),
    ),
    "discovery-service": (("GET", "/discover", discover), ("POST", "/matches", create_match)),
    "media-service": (("PUT", f"/photos/{ID}", put_photo), ("GET", f"/photos/{ID}", get_photo)),
    "chat-service": (("POST", "/messages", create_message), ("GET", f"/matches/{ID}/messages", list_messages)),
    "notification-service": (("POST", "/notifications", notify),),
    "admin-service": (("GET", "/statistics", statistics), ("DELETE", f"/profiles/{ID}", delete_profile)),
    "data-service": (("GET", "/statistics", statistics), ("POST", "/clean-up", clean_up)),
    "telegram-bot": (("POST", "/updates", bot_update),),
    "webapp": (("GET", "/", home_page), ("GET", f"/profiles/{ID}", profile_page)),
}


def add_routes(router: web.UrlDispatcher, service: str, context: Context) -> None:
    """Register the routes of one service."""
    for method, path, handler in SERVICES[service]:
        resource = router.add_resource(path)
        for each in ("GET", "HEAD") if method == "GET" else (method,):
            resource.add_route(each, partial(handler, context))


async def _body(request: web.Request, **fields: type[str | int | float]) -> dict[str, Any]:
    """Read an object with these fields from a request's JSON body; other fields are ignored."""
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    for name, kind in fields.items():
        value = body.get(name)
        accepted = (int, float) if kind is float else kind
        if not isinstance(value, accepted) or isinstance(value, bool):
            raise web.HTTPBadRequest(text=f"{name} is missing or not of type {kind.__name__}")
    return {name: body[name] for name in fields}


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


async def _profile(context: Context, number: int) -> dict[str, Any]:
    profile = await context.database.get_profile(number)
    if profile is None:
        raise web.HTTPNotFound(text="no such profile")
    return profile


def _page(title: str, text: str) -> web.Response:
    title, text = escape(title), escape(text)
    document = f"<!doctype html><html lang=en><title>{title}</title><h1>{title}</h1><p>{text}</p>"
    return web.Response(text=document, content_type="text/html")
